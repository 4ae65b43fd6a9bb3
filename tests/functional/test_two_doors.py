"""One event by the message bus and by the ingest API: the same traits, so that one rule serves both."""

from __future__ import annotations

from typing import Any

import pytest

from eventalarm.conf import LISTENER_OPTS
from eventalarm.evaluator.event_rule import Verdict
from eventalarm.evaluator.notification_rule import compile_notification, parse
from eventalarm.ingest import reading
from eventalarm.model import Event
from tests.support.definitions import Converter

RESOURCE_TRAITS = tuple(next(one for one in LISTENER_OPTS if one.name == "resource_traits").default)
PAYLOADS: dict[str, dict[str, Any]] = {
    "maintenance.scheduled": {
        "project_id": "shop",
        "session_id": "s-1",
        "state": "PLANNED_MAINTENANCE",
        "allowed_actions": ["MIGRATE", "OWN_ACTION"],
        "instance_ids": ["vm-1", "vm-2"],
        "metadata": {"release": "2026.2", "hosts": ["größe's", True, None, 1.5], "of": {"deep": []}},
        "reply_url": "http://tool.example.com/s-1",
    },
    "maintenance.host": {"host": "compute0", "session_id": "s-1", "state": "IN_MAINTENANCE", "metadata": {}},
    "health.guest": {
        "project_id": "shop",
        "instance_id": "vm-1",
        "check": "agent",
        "state": "failed",
        "reason": ["a", "b"],
    },
    "compute.host.nic": {
        "hostname": "compute0",
        "component": ["eth0", "eth1"],
        "status": "degraded",
        "severity": "major",
    },
}
# Traits that Ceilometer adds or our definitions duplicate; the ingest API has no resource for a session.
ADDED = {"service", "user_id", "tenant_id", "host", "hostname", "status", "state"}
ADDED_TO = {"maintenance.scheduled": {"resource_id"}}


def both(converter: Converter, event_type: str) -> tuple[dict[str, Any], dict[str, Any]]:
    payload = PAYLOADS[event_type]
    report = {"time": "2026-11-20T23:01:36Z", "type": event_type, "details": payload}
    by_http = reading.to_event(report, RESOURCE_TRAITS)
    return converter.traits(event_type, payload), {name: value for name, _, value in by_http["traits"]}


@pytest.mark.parametrize("event_type", PAYLOADS)
def test_bus_and_ingest_api_write_the_same_traits(converter: Converter, event_type: str) -> None:
    by_bus, by_http = both(converter, event_type)
    for name in PAYLOADS[event_type]:
        assert by_bus[name] == by_http[name], name
    assert {name for name in by_bus if name not in by_http} <= ADDED | ADDED_TO.get(event_type, set())


def test_one_rule_matches_events_of_both(converter: Converter) -> None:
    rule = {
        "event_type": "maintenance.scheduled",
        "query": [{"field": "traits.instance_ids", "op": "contains", "value": "'vm-2'"}],
    }
    compiled = compile_notification(parse(rule), RESOURCE_TRAITS)
    for traits in both(converter, "maintenance.scheduled"):
        body = {"message_id": "m", "event_type": "maintenance.scheduled"}
        event = Event.parse({**body, "traits": [[name, 1, value] for name, value in traits.items()]})
        assert compiled.verdict(event) is Verdict.MATCH
