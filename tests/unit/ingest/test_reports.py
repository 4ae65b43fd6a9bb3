"""The event that an alert of a monitor becomes: its type, its traits and its id."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from eventalarm.catalogue.fault_files import load_shipped
from eventalarm.ingest.reports import Report, ReportConverter
from eventalarm.model import RESOURCE_TRAITS

AT = datetime.datetime(2026, 11, 20, 23, 1, 36, tzinfo=datetime.UTC)
CATALOGUE = load_shipped()
CONVERTER = ReportConverter(CATALOGUE, [("My*Fan", "host-fan"), ("Mine", "a.b")], RESOURCE_TRAITS)


def report(
    name: str = "HostDown", active: bool = True, source: str = "alertmanager", **labels: str
) -> Report:
    return Report(source, name, ("f", "1"), active, AT, labels, {})


def converted(one: Report) -> tuple[str, dict[str, Any]]:
    event = CONVERTER.event(one)
    return event["event_type"], {name: value for name, _, value in event["traits"]}


@pytest.mark.parametrize(
    ("one", "raised", "cleared"),
    [
        (report(hostname="h"), ("compute.host.down", "down"), ("compute.host.up", "up")),
        (report("NodeRAIDDegraded"), ("compute.host.disk", "failed"), ("compute.host.disk", "ok")),
        (
            report("x", event_type="compute.host.nic"),
            ("compute.host.nic", "failed"),
            ("compute.host.nic", "ok"),
        ),
        (report("x", event_type="host-down"), ("compute.host.down", "down"), ("compute.host.up", "up")),
        (
            report("x", event_type="compute.host.power", status="degraded"),
            ("compute.host.power", "degraded"),
            ("compute.host.power", "ok"),
        ),
        (
            report("x", event_type="network.switch.down"),
            ("network.switch.down", "down"),
            ("network.switch.up", "up"),
        ),
        (report("Mine"), ("a.b", "failed"), ("a.b", "ok")),
        (report("My big Fan", event_type=""), ("compute.host.fan", "failed"), ("compute.host.fan", "ok")),
        (report("Odd name!"), ("alertmanager.Odd_name_", "failed"), ("alertmanager.Odd_name_", "ok")),
        (report("Odd", source="zabbix"), ("zabbix.Odd", "failed"), ("zabbix.Odd", "ok")),
    ],
)
def test_an_alert_has_the_names_of_the_catalogue_and_its_end_ends_the_fault(
    one: Report, raised: tuple[str, str], cleared: tuple[str, str]
) -> None:
    """Fails when the end of an alert is not what the catalogue demands for the end of the fault."""
    begun = converted(one)
    ended = converted(Report(one.source, one.name, one.key, False, AT, one.labels, {}))

    assert (begun[0], begun[1]["status"]) == raised
    assert (ended[0], ended[1]["status"]) == cleared
    fault = CATALOGUE.find(*begun)
    assert fault not in CATALOGUE.find_cleared(*begun)
    if fault is not None:
        assert fault in CATALOGUE.find_cleared(*ended)


@pytest.mark.parametrize("name", [fault.name for fault in CATALOGUE.faults])
def test_every_name_of_the_catalogue_stands_for_an_event_that_the_catalogue_knows(name: str) -> None:
    event_type, traits = converted(report("x", event_type=name))
    assert "*" not in event_type
    assert CATALOGUE.find(event_type, traits) is not None


def test_the_id_follows_the_episode_and_its_state() -> None:
    begun, ended = report(), report(active=False)
    later = Report("alertmanager", "HostDown", ("f", "2"), True, AT, {}, {})
    other = report(source="zabbix")

    assert begun.alert_id == ended.alert_id
    assert len({one.message_id for one in (begun, ended, later, other)}) == 4
    assert begun.message_id == report(severity="low").message_id == "b0089946-acaf-5f74-a485-36b04f20ecae"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"instance": "compute0:9100"}, {"hostname": "compute0", "resource_id": "compute0"}),
        ({"instance": "[fd00::1]:9100"}, {"hostname": "fd00::1"}),
        ({"instance": "fd00::1"}, {"hostname": "fd00:"}),
        ({"instance": "https://x:443"}, {"hostname": "https://x:443"}),
        ({"instance": "exporter:9100", "node": "n"}, {"hostname": "n"}),
        ({"instance": "exporter:9100", "instance_id": "vm-1"}, {"resource_id": "vm-1", "hostname": None}),
        ({"project_id": "p"}, {"project_id": "p"}),
        ({"tenant_id": "p"}, {"project_id": "p"}),
        ({"project": "p"}, {"project": "p", "project_id": None}),
        (
            {"monitor": "m", "alert_id": "forged", "alertname": "forged"},
            {"monitor": "m", "alertname": "HostDown"},
        ),
        ({"event_type": "a.b", "empty": ""}, {"event_type": None, "empty": None}),
    ],
)
def test_labels_become_traits(labels: dict[str, Any], expected: dict[str, str | None]) -> None:
    one = report(**labels)
    traits = converted(one)[1]

    assert {name: traits.get(name) for name in expected} == expected
    assert traits["alert_id"] == str(one.alert_id)


def test_annotations_are_texts_and_name_no_owner() -> None:
    """Fails when a text for people makes an event visible to a project, or changes its severity."""
    annotations = {"project_id": "p", "hostname": "h", "severity": "s", "summary": "Down", "description": "d"}
    traits = converted(Report("alertmanager", "Mine", ("f",), True, AT, {}, annotations))[1]

    assert {"project_id", "hostname", "resource_id", "severity"}.isdisjoint(traits)
    assert (traits["summary"], traits["annotation.severity"]) == ("Down", "s")
