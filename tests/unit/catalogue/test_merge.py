"""Merging event definitions: what order comes out, and that the narrower one counts."""

from __future__ import annotations

import fnmatch
import pathlib
from typing import Any

import pytest

from eventalarm.catalogue.event_definitions import BadDefinitions, fragments, marked, origin_of, read, write
from eventalarm.catalogue.merge import merge
from eventalarm.owner import event_types


def one(kinds: str | list[str], **traits: str) -> dict[str, Any]:
    return {"event_type": kinds, "traits": {name: {"fields": field} for name, field in traits.items()}}


SHIPPED = [
    one("compute.instance.*", state="payload.state"),
    one("compute.instance.update", state="payload.state", old_state="payload.old_state"),
    one(["network.*", "port.*"], project_id="ctxt.tenant_id"),
    one("port.*", project_id="ctxt.tenant_id", name="payload.port.name"),
    one("image.update", status="payload.status"),
]
OURS = [
    (
        "10-nova",
        one("compute.instance.*", state="payload.state", old_state="payload.old_state", host="payload.host"),
    ),
    (
        "20-neutron",
        one(["port.*.start", "port.*.end"], project_id="payload.port.project_id", name="payload.port.name"),
    ),
    ("20-neutron", one(["network.*.start", "network.*.end"], project_id="payload.network.project_id")),
    ("80-ironic", one("baremetal.node.*", fault="payload.fault")),
]


def winner(found: Any, event_type: str) -> dict[str, Any]:
    """Return the definition that Ceilometer takes: the last that fits."""
    fits = [
        d for d in found.definitions if any(fnmatch.fnmatchcase(event_type, kind) for kind in event_types(d))
    ]
    return {name: value for name, value in fits[-1].items() if name != "origin"} if fits else {}


def test_without_a_file_our_definitions_follow_those_of_ceilometer() -> None:
    found = merge(None, SHIPPED, OURS)
    assert winner(found, "compute.instance.update") == OURS[0][1]
    assert winner(found, "port.update.end") == OURS[1][1]
    assert winner(found, "port.odd") == SHIPPED[3]
    assert winner(found, "image.update") == SHIPPED[4]
    assert found.notes == ()


@pytest.mark.parametrize(
    ("kind", "event_type"),
    [
        ("network.monitor.*", "network.monitor.start"),
        ("compute.instance.update", "compute.instance.update"),
        ("port.update.*", "port.update.end"),
        # As wide as ours: the deployer's.
        ("baremetal.node.*", "baremetal.node.power_set.end"),
        ("port.create.end", "port.create.end"),
    ],
)
def test_a_narrower_definition_of_the_deployer_counts(kind: str, event_type: str) -> None:
    deployers = one(kind, mine="payload.mine")
    if kind == "compute.instance.update":
        deployers = one([kind, "compute.instance.odd"], mine="payload.mine")
    for present in ([deployers], [deployers, *SHIPPED], [*SHIPPED, deployers]):
        found = merge(present, SHIPPED, OURS)
        assert winner(found, event_type)["traits"] == deployers["traits"]


@pytest.mark.parametrize("kind", ["port.*", "*.end", "*", "!image.*", "compute.*"])
def test_our_definition_counts_before_a_wider_one_of_the_deployer(kind: str) -> None:
    deployers = (
        one([kind, "thing.*"], mine="payload.mine")
        if kind != "!image.*"
        else one([kind], mine="payload.mine")
    )
    found = merge([deployers], SHIPPED, OURS)
    assert winner(found, "port.update.end") == OURS[1][1]
    assert winner(found, "compute.instance.create.end") == OURS[0][1]
    assert deployers in found.definitions


def test_a_definition_of_narrower_and_wider_types_is_divided() -> None:
    deployers = one(["port.*", "network.monitor.*", "!port.odd"], mine="payload.mine")
    found = merge([deployers], SHIPPED, OURS)
    assert winner(found, "port.update.end") == OURS[1][1]
    assert winner(found, "network.monitor.end")["traits"] == deployers["traits"]
    assert found.definitions[0]["event_type"] == ["port.*", "!port.odd"]
    assert found.definitions[-1]["event_type"] == ["network.monitor.*", "!port.odd"]


def test_additions_of_the_deployer_to_a_definition_of_ceilometer_are_kept() -> None:
    deployers = one(
        "compute.instance.update",
        state="payload.vm_state",
        old_state="payload.old_state",
        rack="payload.rack",
    )
    found = merge([deployers if d is SHIPPED[1] else d for d in SHIPPED], SHIPPED, OURS)
    traits = winner(found, "compute.instance.update")["traits"]
    assert traits == {
        "state": {"fields": "payload.vm_state"},
        "old_state": {"fields": "payload.old_state"},
        "host": {"fields": "payload.host"},
        "rack": {"fields": "payload.rack"},
    }
    assert winner(found, "compute.instance.create.end") == OURS[0][1]


def test_a_file_without_the_definitions_of_ceilometer_gets_them_on_demand() -> None:
    deployers = one("network.monitor.*", mine="payload.mine")
    alone = merge([deployers], SHIPPED, OURS)
    assert winner(alone, "image.update") == {}
    assert alone.notes == ("the file has none of Ceilometer's own definitions; --shipped puts them first",)
    found = merge([deployers], SHIPPED, OURS, begin_with_shipped=True)
    assert (winner(found, "image.update"), found.notes) == (SHIPPED[4], ())
    assert winner(found, "network.monitor.end") == deployers
    assert merge(found.definitions, SHIPPED, OURS) == found


def test_an_older_definition_of_ceilometer_does_not_restore_the_caller() -> None:
    deployers = one("port.*", tenant_id="ctxt.tenant_id", project_id="ctxt.tenant", name="payload.port.name")
    found = merge([deployers], SHIPPED, OURS)
    assert winner(found, "port.update.end") == OURS[1][1]


def test_merging_again_changes_nothing_and_an_upgrade_replaces_ours(tmp_path: pathlib.Path) -> None:
    deployers = [
        one("network.monitor.*", mine="payload.mine"),
        one("port.*", name="payload.port.name", x="payload.x"),
    ]
    for present in (None, deployers, [*SHIPPED, *deployers]):
        first = merge(present, SHIPPED, OURS)
        path = tmp_path / "definitions.yaml"
        path.write_text(write(first.definitions, "head"))
        assert merge(read(path), SHIPPED, OURS).definitions == first.definitions
        newer = [("80-ironic", one("baremetal.node.*", fault="payload.other"))]
        found = merge(read(path), SHIPPED, newer)
        assert winner(found, "baremetal.node.x") == newer[0][1]
        assert winner(found, "port.update.end") != OURS[1][1]


def test_changes_of_the_deployer_to_our_definition_are_kept() -> None:
    first = merge(None, SHIPPED, OURS)
    edited = [dict(d) for d in first.definitions]
    ironic = next(d for d in edited if d["event_type"] == "baremetal.node.*")
    ironic["traits"] = {**ironic["traits"], "rack": {"fields": "payload.rack"}}
    found = merge(edited, SHIPPED, OURS)
    assert "rack" in winner(found, "baremetal.node.x")["traits"]
    assert merge(found.definitions, SHIPPED, OURS).definitions == found.definitions


def test_an_invalid_origin_is_ignored() -> None:
    definition = marked(one("a.*", x="payload.x"), "eventalarm/10-nova")
    assert origin_of(definition) == "eventalarm/10-nova"
    assert origin_of({**definition, "event_type": "b.*"}) == ""
    assert origin_of({**definition, "origin": "eventalarm/10-nova"}) == ""


@pytest.mark.parametrize(
    "text",
    [
        "- event_type: 'a.*'\n  traits: {x: {fields: payload.x}}",
        "  - event_type: 'a.*'\n    traits:\n      x:\n        fields: payload.x",
        "[{event_type: 'a.*', traits: {x: {fields: payload.x}}}]",
        '---\n[{"event_type": "a.*", "traits": {"x": {"fields": "payload.x"}}}]\n...\n',
        "\ufeff- &a {event_type: 'a.*', traits: {x: {fields: payload.x}}}\n",
    ],
    ids=["no newline at the end", "indented", "flow style", "json", "byte order mark"],
)
def test_yaml_of_any_style_is_read(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "event_definitions.yaml"
    path.write_text(text)
    assert read(path) == [one("a.*", x="payload.x")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: b", "must be a list of event definitions, not a dict"),
        ("- {event_type: a}", "definition 1: traits must be a mapping"),
        ("- {traits: {}}", "definition 1: event_type must be a string"),
        ("- {event_type: [], traits: {}}", "definition 1: event_type must be a string"),
        ("- {event_type: a, traits: {x: {fields: payload.type# Nova", "line 1"),
    ],
)
def test_an_invalid_definition_is_named(tmp_path: pathlib.Path, text: str, said: str) -> None:
    path = tmp_path / "event_definitions.yaml"
    path.write_text(text)
    with pytest.raises(BadDefinitions, match=said):
        read(path)


def test_our_files_are_found_and_chosen(tmp_path: pathlib.Path) -> None:
    names = [path.stem for path in fragments([])]
    assert names[:2] == ["10-nova", "20-neutron"]
    assert [path.stem for path in fragments([], ["20-neutron", "10-nova.yaml"])] == ["10-nova", "20-neutron"]
    with pytest.raises(BadDefinitions, match="unknown file 11-nova; there are 10-nova, "):
        fragments([], ["11-nova"])
    with pytest.raises(BadDefinitions, match=r"no definitions of eventalarm in .*; name them with --ours"):
        fragments([tmp_path])
