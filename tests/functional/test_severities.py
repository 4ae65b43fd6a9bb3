"""The severity of occurrences: from a trait, from the rule, and what is counted where it is unknown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm.storage.database import Database
from tests.support.builders import event_body
from tests.support.engine_harness import (
    occurrences,
    open_database,
    transitions,
)
from tests.support.timers import Listener, notification_alarm

RULE: dict[str, Any] = {
    "event_type": "*",
    "query": [{"field": "traits.state", "op": "in", "value": ["error", "crashed"]}],
    "clear": {"query": [{"field": "traits.state", "value": "active"}]},
}


@pytest.fixture
def database(our_database_url: str) -> Iterator[Database]:
    with open_database(our_database_url) as opened:
        yield opened


@pytest.fixture
def listener(database: Database) -> Listener:
    return Listener(database)


def test_a_severity_from_a_trait_is_recorded(database: Database, listener: Listener) -> None:
    """Fails when a change of severity is not recorded, and when an unknown word counts."""
    alarm = notification_alarm(database, {**RULE, "severity_from": "level"})
    for level in ("minor", "minor", "Critical", "awful"):
        listener.tell("error", level=level)
    found = [(row["kind"], row["severity"]) for row in transitions(database, alarm_id=alarm)]
    assert found == [("raised", "minor"), ("changed", "critical")]
    (occurrence,) = occurrences(database)
    assert occurrence["severity"] == "CRITICAL"
    assert len(listener.engine.sent) == 1, "repetitions are notified only if the alarm asks for them"
    listener.tell("active", level="warning")
    assert listener.engine.sent[-1].severity == "critical", "the severity of the occurrence, not of its end"


def test_the_severity_of_a_rule_is_that_of_its_occurrences(database: Database, listener: Listener) -> None:
    """Fails when the rule's severity does not reach webhooks, or when it overrides the event's."""
    alarm = notification_alarm(database, {**RULE, "severity": "major", "severity_from": "level"})
    for level in ("", "awful", "minor", ""):
        listener.tell("error", level=level)
    found = [(row["kind"], row["severity"]) for row in transitions(database, alarm_id=alarm)]
    assert found == [("raised", "major"), ("changed", "minor"), ("changed", "major")]
    (occurrence,) = occurrences(database)
    assert occurrence["severity"] == "MAJOR"
    (sent,) = listener.engine.sent
    assert sent.severity == "major"
    listener.tell("active", level="warning")
    assert listener.engine.sent[-1].severity == "major"


def test_an_unknown_severity_is_counted(database: Database, listener: Listener) -> None:
    notification_alarm(database, {**RULE, "severity_from": "level"})
    report = listener.engine.process(
        event_body(state="error", level="awful"),
        event_body(state="error"),
        event_body(state="active", level="cleared"),
    )
    assert report.reasons["unknown_severity"] == 1
