"""The fault catalogue: which entry counts, how files are read, and what their errors say."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import yaml

from eventalarm.catalogue.entries import BadFile
from eventalarm.catalogue.fault_files import load, read
from eventalarm.catalogue.faults import FanOut

ENTRY: dict[str, Any] = {
    "name": "crate",
    "description": "A crate fell.",
    "reported_by": [{"event": "crate.*", "traits": {"status": "fallen"}}],
    "cleared_by": [{"event": "crate.up"}],
    "event_type": "EQUIPMENT_ALARM",
    "probable_cause": "equipmentMalfunction",
    "resource": {"kind": "COMPUTE", "traits": ["crate", "host"]},
    "severity": "MAJOR",
    "service_affecting": True,
    "repair_action": "lift it",
    "detected_by": "the noise",
}


def written(folder: pathlib.Path, *entries: Any) -> pathlib.Path:
    path = folder / "faults.yaml"
    path.write_text(yaml.safe_dump(list(entries)))
    return path


@pytest.mark.parametrize(
    ("event_type", "traits", "name"),
    [
        ("compute.host.down", {"hostname": "compute0"}, "host-down"),
        ("service.update", {"binary": "nova-compute", "forced_down": "True"}, "host-down"),
        ("service.update", {"binary": "nova-compute", "forced_down": True}, "host-down"),
        ("service.update", {"binary": "nova-compute", "forced_down": "False"}, "compute-service"),
        ("service.update", {"binary": "nova-scheduler", "forced_down": "True"}, "compute-service"),
        ("service.update", None, "compute-service"),
        ("compute.host.power", {"status": "failed"}, "host-power"),
        ("compute.host.power", {"status": "DEGRADED"}, "host-power-degraded"),
        ("compute.host.power", None, "host-power"),
        ("compute.host.unheard", {}, "host"),
        ("crate.fallen", {}, None),
    ],
)
def test_the_most_specific_entry_counts(event_type: str, traits: Any, name: str | None) -> None:
    found = load().find(event_type, traits)
    assert (found.name if found is not None else None) == name


@pytest.mark.parametrize(
    ("event_type", "traits", "names"),
    [
        ("compute.host.up", {}, {"host-down"}),
        ("compute.host.power", {"status": "ok"}, {"host-power", "host-power-degraded"}),
        ("compute.host.power", {"status": "failed"}, set()),
        ("service.update", {"binary": "nova-compute", "forced_down": "False"}, {"host-down"}),
    ],
)
def test_an_event_ends_the_faults_that_name_it(event_type: str, traits: Any, names: set[str]) -> None:
    assert {one.name for one in load().find_cleared(event_type, traits)} == names


def test_a_fault_names_its_type_and_its_resource() -> None:
    fault = load().find("service.update", {"binary": "nova-compute", "forced_down": "True"})
    assert fault is not None
    assert fault.fault_type_of("service.update") == "compute.host.down"
    assert fault.fan_out is FanOut.HOST
    assert fault.resource_of({"host": "compute0", "resource_id": "r"}) == "compute0"
    server = load().find("compute.instance.update", {})
    assert server is not None
    assert server.fault_type_of("compute.instance.update") == "compute.instance.update"


def test_entries_of_the_deployer_replace_and_precede_those_of_the_package(tmp_path: pathlib.Path) -> None:
    added = {**ENTRY, "name": "my-power", "reported_by": "compute.host.power"}
    replaced = {**ENTRY, "name": "host-down", "severity": "minor", "reported_by": "compute.host.down"}
    found = load([written(tmp_path, added, replaced)])
    power, down = found.find("compute.host.power", {}), found.find("compute.host.down", {})
    assert power is not None
    assert power.name == "my-power"
    assert down is not None
    assert down.severity == "MINOR"
    assert len(found.faults) == len(load().faults) + 1


@pytest.mark.parametrize(
    ("changes", "field", "remedy"),
    [
        ({"name": None}, "name", "write text after name:"),
        ({"descripton": "x"}, "descripton", "use name, description"),
        ({"reported_by": []}, "reported_by", "name an event type"),
        ({"reported_by": [{"traits": {}}]}, "reported_by[0].event", "name at least one"),
        ({"reported_by": [{"event": "a", "when": {}}]}, "reported_by[0].when", "use event, traits"),
        ({"reported_by": [{"event": "a", "traits": {"b": {}}}]}, "reported_by[0].traits.b", "strings"),
        ({"event_type": "EQUIPMENT"}, "event_type", "COMMUNICATIONS_ALARM"),
        ({"severity": "bad"}, "severity", "CRITICAL"),
        ({"service_affecting": "yes"}, "service_affecting", "service_affecting: true"),
        ({"resource": "COMPUTE"}, "resource", "{kind, type, traits}"),
        ({"resource": {"kind": "DISK", "traits": ["a"]}}, "resource.kind", "COMPUTE, STORAGE, NETWORK"),
        ({"resource": {"kind": "COMPUTE"}}, "resource.traits", "name at least one"),
        ({"fan_out": "rack"}, "fan_out", "none, host, hypervisor, switch"),
        ({"fault_type": 7}, "fault_type", "leave the field out"),
    ],
)
def test_an_error_names_file_entry_field_and_remedy(
    tmp_path: pathlib.Path, changes: dict[str, Any], field: str, remedy: str
) -> None:
    path = written(tmp_path, {**ENTRY, **changes})
    with pytest.raises(BadFile) as raised:
        read(path)
    assert raised.value.field == field
    assert str(path) in str(raised.value)
    assert ("fault 1" if field == "name" else "crate") in str(raised.value)
    assert remedy in str(raised.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: b", "is a dict"),
        ("- a", "fault 1: is not a mapping"),
        ("- [", "while parsing"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_no_list_of_faults_is_refused(
    tmp_path: pathlib.Path, text: str | None, problem: str
) -> None:
    path = tmp_path / "faults.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadFile, match=r"faults\.yaml") as raised:
        read(path)
    assert problem in str(raised.value)


def test_two_faults_of_one_name_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(BadFile, match="own name"):
        read(written(tmp_path, ENTRY, ENTRY))
