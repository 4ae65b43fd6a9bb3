"""The check of Ceilometer's event definitions: a warning for those that cannot name an owner."""

from __future__ import annotations

import pathlib

import pytest

from eventalarm.catalogue import event_definitions, loader
from eventalarm.owner import doubtful
from eventalarm.status import definitions
from eventalarm.status.checks import Level


def test_definitions_of_ceilometer_name_only_the_caller_for_a_port() -> None:
    found = definitions.check_definitions(loader.shipped())
    assert found.level is Level.WARNING
    assert "port.*" in found.message
    assert "takes the project from the caller alone" in found.message
    assert "eventalarm-definitions install" in found.remedy
    assert found.figures["without_owner"] >= 12


def test_a_later_definition_counts_instead(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "event_definitions.yaml"
    path.write_text(
        "- {event_type: ['port.*', 'thing.*'], traits: {project_id: {fields: ctxt.tenant_id}}}\n"
        "- {event_type: ['port.*.end'], traits: {project_id: {fields: payload.port.project_id}}}\n"
        "- {event_type: 'odd.*', traits: {project_id: {fields: [payload.owner, ctxt.project_id]}}}\n"
    )
    assert [kind for kind, _ in doubtful(event_definitions.read(path))] == ["thing.*", "odd.*"]
    found = definitions.check_definitions(path)
    assert "thing.*: takes the project from the caller alone; odd.*: falls back" in found.message
    assert "caller_project_id" in found.remedy


def test_complete_definitions_are_ok(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "event_definitions.yaml"
    path.write_text("- {event_type: 'thing.*', traits: {tenant_id: {fields: payload.owner}}}\n")
    assert definitions.check_definitions(path).level is Level.OK


@pytest.mark.parametrize("text", ["{", "event_type: x", "- x", "\t"])
def test_an_invalid_list_of_definitions_is_named(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "event_definitions.yaml"
    path.write_text(text)
    with pytest.raises(event_definitions.BadDefinitions, match=r"event_definitions\.yaml: "):
        definitions.check_definitions(path)


def test_without_ceilometer_on_this_host_nothing_is_checked(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definitions, "DEFAULT_PATH", tmp_path / "event_definitions.yaml")
    assert definitions.definitions_file("") is None
    assert definitions.definitions_file("/x/y.yaml") == pathlib.Path("/x/y.yaml")
    (tmp_path / "ceilometer.conf").write_text("")
    assert definitions.definitions_file("") == loader.shipped()
    (tmp_path / "event_definitions.yaml").write_text("[]")
    assert definitions.definitions_file("") == tmp_path / "event_definitions.yaml"
