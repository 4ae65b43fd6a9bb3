"""Policies: which events count for which host, what is reported, and what a file may say."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import yaml

from eventalarm.catalogue.entries import BadFile
from eventalarm.inspector.policies import Policy, load
from eventalarm.model import Event
from tests.support.host_policy import POLICY as GIVEN


def write(folder: pathlib.Path, *policies: Any) -> str:
    path = folder / "policies.yaml"
    path.write_text(yaml.safe_dump(list(policies)))
    return str(path)


@pytest.fixture
def policy(tmp_path: pathlib.Path) -> Policy:
    (found,) = load([write(tmp_path, GIVEN)])
    return found


def event(event_type: str, **traits: str) -> Event:
    listed = [[name, 1, value] for name, value in traits.items()]
    return Event.parse(
        {"message_id": "m", "event_type": event_type, "generated": "2026-11-27T09:00:00", "traits": listed}
    )


@pytest.mark.parametrize(
    ("event_type", "traits", "source"),
    [
        ("compute.host.nic", {"hostname": "c0", "severity": "minor"}, "c0"),
        ("compute.host.disk", {"hostname": "c0", "severity": "Warning"}, "c0"),
        ("compute.host.nic", {"hostname": "c0", "severity": "critical"}, ""),
        ("compute.host.nic", {"severity": "minor"}, ""),
        ("network.switch.down", {"hostname": "c0", "severity": "minor"}, ""),
        # Its own report, what the inspector published, and an event about one server.
        ("compute.host.nic", {"hostname": "c0", "severity": "minor", "policy": "unavailable"}, ""),
        ("compute.host.nic", {"hostname": "c0", "severity": "minor", "fault_id": "f"}, ""),
        ("compute.host.nic", {"hostname": "c0", "severity": "minor", "instance_id": "vm"}, ""),
    ],
)
def test_which_events_count(policy: Policy, event_type: str, traits: dict[str, str], source: str) -> None:
    assert policy.source_of(event(event_type, **traits)) == source


def test_the_report_of_an_event_is_always_the_same(policy: Policy) -> None:
    cause = event("compute.host.nic", hostname="c0", severity="minor")
    report = policy.report(cause, "c0")
    assert report == policy.report(cause, "c0")
    assert (report["event_type"], report["generated"]) == ("compute.host.down", "2026-11-27T09:00:00")
    assert {name: value for name, _, value in report["traits"]} == {
        "hostname": "c0",
        "status": "down",
        "severity": "critical",
        "policy": "unavailable",
    }
    assert policy.source_of(Event.parse(report)) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "policy 1: name: must be a non-empty string"),
        ({"event": None}, "unavailable: event: must be a string or a list of strings"),
        ({"at_least": 0}, "at_least: must be a number from 1 to 1000"),
        ({"at_least": True}, "at_least: must be a number"),
        ({"within": "10m"}, "within: must be a number from 1 to 86400"),
        ({"emit": "compute.host.down"}, "emit: is not a mapping"),
        ({"emit": {"event": "x", "trait": {}}}, "emit.trait: unknown field; use event, traits"),
        ({"traits": ["severity"]}, "traits: is not a mapping"),
        ({"traits": {"severity": []}}, "traits.severity: must be a value or a list of values"),
        ({"kind": 1}, "kind: unknown field"),
    ],
)
def test_a_policy_that_is_invalid(tmp_path: pathlib.Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadFile) as failed:
        load([write(tmp_path, GIVEN | change)])
    assert words in str(failed.value)
    assert str(failed.value).startswith(str(tmp_path))


def test_files_that_are_invalid(tmp_path: pathlib.Path) -> None:
    for text in ("{", "a: b", "- 1"):
        path = tmp_path / "bad.yaml"
        path.write_text(text)
        with pytest.raises(BadFile, match=r"bad\.yaml"):
            load([str(path)])
    with pytest.raises(BadFile, match="No such file"):
        load([str(tmp_path / "missing.yaml")])
    with pytest.raises(BadFile, match="unavailable: name: occurs twice"):
        load([write(tmp_path, GIVEN, GIVEN)])
    assert load([]) == ()
