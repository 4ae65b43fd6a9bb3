"""Which severity an alarm has, whoever named it."""

from __future__ import annotations

import pytest

from eventalarm.ifa_shim.mapping import from_occurrence
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import Kind
from tests.support.builders import at, rule
from tests.unit.ifa_shim.parts import SERVER, alarm, occurrence, transition


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("critical", "CRITICAL"),
        ("moderate", "MAJOR"),
        ("low", "WARNING"),
        ("major", "MAJOR"),
        ("INDETERMINATE", "INDETERMINATE"),
        ("warning", "WARNING"),
        ("cleared", "MINOR"),
        ("dreadful", "MINOR"),
        (None, "MINOR"),
    ],
)
def test_the_words_of_aodh_and_of_x733(word: str | None, severity: str) -> None:
    assert Settings().severity(word).value == severity


def test_a_severity_that_events_raise_updates_the_alarm() -> None:
    """Fails when a change of severity counts as a repetition, which changes nothing by default."""
    raising = transition(instance_id=SERVER, severity_of_row="minor")
    worse = transition(Kind.CHANGED, 5, instance_id=SERVER, severity_of_row="critical")
    same = transition(Kind.CHANGED, 5, instance_id=SERVER, severity_of_row="minor")
    repeated = occurrence(hits=2, changed_at=at(5), severity="CRITICAL")
    found = from_occurrence(repeated, [raising, worse], alarm())
    assert (found.state.value, found.changed_time, found.perceived_severity.value) == (
        "UPDATED",
        at(5),
        "CRITICAL",
    )
    assert from_occurrence(repeated, [raising, same], alarm()).state.value == "FIRED"


def test_a_severity_change_counts_without_its_own_record() -> None:
    raising = transition(instance_id=SERVER, severity_of_row="minor")
    repeated = occurrence(hits=2, changed_at=at(5), severity="CRITICAL")
    named = alarm(rule={**rule(instance_id=SERVER), "severity_from": "level"})
    assert from_occurrence(repeated, [raising], named).state.value == "UPDATED"
    stated = alarm(rule={**rule(instance_id=SERVER), "severity": "critical"})
    assert from_occurrence(repeated, [raising], stated).state.value == "UPDATED"
    assert from_occurrence(repeated, [raising], alarm()).state.value == "FIRED"
