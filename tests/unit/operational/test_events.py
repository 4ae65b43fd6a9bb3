"""The bodies of operational events."""

from __future__ import annotations

import dataclasses

import pytest

from eventalarm.catalogue import fault_files
from eventalarm.model import Event, OperationalEvent, OperationalType, fault_severity
from eventalarm.operational.events import body_of
from tests.support.builders import NOW

PLACE = "https://hooks.example.org:443"
FAILING = OperationalEvent(
    OperationalType.DESTINATION_FAILING, "p", PLACE, NOW, reason="http_5xx: HTTP 503", status=503, since=NOW
)
DEAD = dataclasses.replace(
    FAILING, event_type=OperationalType.DELIVERY_DEAD, alarm_id="a", delivery_id="d", number=12
)
CATALOGUE = fault_files.load([])


def traits(event: OperationalEvent) -> dict[str, object]:
    return {name: value for name, _, value in body_of(event)["traits"]}


def test_an_event_about_a_destination_names_it_and_its_owner() -> None:
    found = traits(FAILING)
    assert (found["project_id"], found["resource_id"], found["destination"]) == ("p", PLACE, PLACE)
    assert (found["status"], found["reason"], found["severity"]) == (503, "http_5xx: HTTP 503", "major")
    assert not {"alarm_id", "delivery_id", "deliveries", "host"} & set(found)
    assert (traits(DEAD)["deliveries"], traits(DEAD)["delivery_id"]) == (12, "d")


def test_a_reason_does_not_say_what_a_plugin_says_to_operators() -> None:
    hidden = dataclasses.replace(DEAD, reason="plugin_error: cannot reach 10.0.0.1", status=None)
    assert traits(hidden)["reason"] == "plugin_error: see the log of the listener"


def test_an_event_of_the_infrastructure_names_no_project() -> None:
    found = traits(OperationalEvent(OperationalType.LISTENER_LOST, "", "compute-1", NOW, once="w"))
    assert found["host"] == found["resource_id"] == "compute-1"
    assert not {"project_id", "tenant_id"} & set(found)


def test_the_same_change_has_the_same_id_and_another_one_another() -> None:
    changed = [
        dataclasses.replace(FAILING, **change)
        for change in (
            {"project_id": "q"},
            {"resource_id": "http://other:80"},
            {"event_type": OperationalType.DESTINATION_DISABLED},
            {"at": NOW.replace(microsecond=1)},
            {"once": "1"},
            {"once": "2"},
        )
    ]
    names = {body_of(one)["message_id"] for one in (FAILING, FAILING, *changed)}
    assert len(names) == 1 + len(changed)
    # Of what several processes report, when each of them found it does not matter.
    later = dataclasses.replace(changed[-1], at=NOW.replace(microsecond=1))
    assert body_of(later)["message_id"] == body_of(changed[-1])["message_id"]


@pytest.mark.parametrize("event_type", OperationalType)
def test_the_catalogue_knows_each_by_its_severity(event_type: OperationalType) -> None:
    event = Event.parse(body_of(dataclasses.replace(FAILING, event_type=event_type)))
    if event_type is OperationalType.DESTINATION_RECOVERED:
        assert {one.name for one in CATALOGUE.find_cleared(event.event_type)} == {"destination-failing"}
        assert fault_severity(event) is None
        return
    fault = CATALOGUE.find(event.event_type)
    assert fault is not None
    severe = {"MAJOR", "CRITICAL"} if event_type.subject == "destination" else {fault.severity}
    assert fault_severity(event) in severe
