"""The check of Ceilometer's event definitions: a warning for those that cannot name an owner."""

from __future__ import annotations

import pathlib

import pytest
import yaml

from eventalarm.catalogue import event_definitions, install, loader
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


# Files as deployments have them: Ceilometer's own, with anchors and merge keys; as in kolla-ansible, an older
# copy of it with the fields of the context; as openstack-helm renders its values, without anchors.
SHIPPED = loader.shipped().read_text(encoding="utf-8")
FORMS = {
    "packaged default": SHIPPED,
    "kolla": SHIPPED.replace("ctxt.project_id", "_context_tenant_id").replace(
        "ctxt.user_id", "_context_user_id"
    ),
    "helm": yaml.safe_dump(yaml.safe_load(SHIPPED), default_flow_style=False),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_missing_is_named_until_it_is_installed(tmp_path: pathlib.Path, form: str) -> None:
    """Fails when the text is compared instead of the definitions, or only their number."""
    path = tmp_path / "event_definitions.yaml"
    path.write_text(FORMS[form])
    found = definitions.check_definitions(path)
    assert found.level is Level.WARNING
    assert "10-nova: compute.instance.*, service.update" in found.message
    assert "20-neutron: port.*.start, port.*.end" in found.message
    assert "eventalarm-definitions install" in found.remedy
    path.write_text(install.plan(path).text)
    found = definitions.check_definitions(path)
    assert (found.level, found.figures["missing"], found.figures["overridden"]) == (Level.OK, 0, 0)
    # Whoever formats the file again, or removes the marks of the origin, removes no definition.
    plain = [{k: v for k, v in one.items() if k != "origin"} for one in yaml.safe_load(path.read_text())]
    path.write_text(yaml.safe_dump(plain))
    assert definitions.check_definitions(path).figures["missing"] == 0


def test_only_what_is_missing_is_named(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "event_definitions.yaml"
    kept = [
        one
        for one in yaml.safe_load(install.plan(path).text)
        if not one["origin"].startswith("eventalarm/80-ironic")
    ]
    path.write_text(yaml.safe_dump(kept))
    found = definitions.check_definitions(path)
    assert (found.level, found.figures["missing"]) == (Level.WARNING, 1)
    assert found.message.endswith("are missing: 80-ironic: baremetal.node.*")
    assert found.remedy == definitions.INSTALL


def test_a_narrower_definition_of_the_deployer_is_no_fault(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "event_definitions.yaml"
    narrower = "- {event_type: baremetal.node.power_set.end, traits: {project_id: {fields: payload.owner}}}\n"
    path.write_text(install.plan(path).text + narrower)
    found = definitions.check_definitions(path)
    assert (found.level, found.figures["missing"], found.figures["overridden"]) == (Level.OK, 0, 1)
    assert "baremetal.node.power_set.end: your own definition is used, without" in found.message


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
