"""Every reason, as one table: the situation, the decision, and its reason."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from eventalarm.evaluator.decide import (
    ALWAYS,
    WITH_OK_ACTIONS,
    Decision,
    Reason,
    Situation,
    clears,
    decide,
)
from eventalarm.evaluator.event_rule import Verdict, compile_rule
from eventalarm.model import ALARM, OK, UNKNOWN, Kind, Occurrence
from tests.support.builders import NOW, PROJECT, RESOURCE_TRAITS, alarm, at, condition, definition, rule

ON_A_RESOURCE = compile_rule(rule("*", condition("state", "error"), resource_id="vm"), RESOURCE_TRAITS)
ON_ANY_RESOURCE = compile_rule(rule("*", condition("state", "error")), RESOURCE_TRAITS)


def latest(raised: bool = True, seconds: float = -60) -> Occurrence:
    """The latest occurrence of the alarm on the object; its last event was *seconds* from NOW."""
    return Occurrence("o1", "alarm-1", PROJECT, "vm", raised, at(seconds), at(seconds))


def situation(state: str = OK, repeat: bool = False, **fields: Any) -> Situation:
    values: dict[str, Any] = {
        "rule": ON_A_RESOURCE,
        "verdict": Verdict.MATCH,
        "event_time": NOW,
        "occurrence": None,
        "others_raised": 0,
        "seen": False,
        "in_time": True,
        "clears": False,
        **fields,
    }
    return Situation(alarm=alarm(state=state, repeat_actions=repeat), **values)


RECOVER: dict[str, Any] = {"verdict": Verdict.RECOVERED, "clears": True}
RAISED = Decision(Reason.RAISED, Kind.RAISED, ALARM, record_state=True, fire=True)
QUIETLY_RAISED = Decision(Reason.RAISED, Kind.RAISED, ALARM)
REPEATED = Decision(Reason.REPEATED, Kind.CHANGED, ALARM, record_state=True, fire=True)
CLEARED = Decision(Reason.CLEARED, Kind.CLEARED, OK, record_state=True, fire=True)
# Nothing changes, but an older event that arrives later must be late.
HEALTHY = Decision(Reason.NOT_RAISED, confirm=True)
HELD = Decision(Reason.HELD, confirm=True, hold=True)
CONTINUED = Decision(Reason.CONTINUED, Kind.CHANGED, ALARM)
SEVERE = Decision(Reason.SEVERITY_CHANGED, Kind.CHANGED, ALARM)
BEYOND = Decision(Reason.TOO_MANY_OBJECTS)
BEYOND_REPEATED = Decision(Reason.TOO_MANY_OBJECTS, Kind.RAISED, ALARM, record_state=True, fire=True)
PARTLY_CLEARED = Decision(Reason.CLEARED, Kind.CLEARED, ALARM)

# Of an occurrence that maintenance inhibits nobody was notified.
SILENT = dataclasses.replace(latest(), inhibited_by="s-1", raise_inhibited=True)
PENDING = dataclasses.replace(latest(), inhibited_by="s-1")
INHIBITED = dataclasses.replace(RAISED, fire=False, inhibited_by="s-1")
REPEAT_INHIBITED = dataclasses.replace(REPEATED, fire=False, inhibited_by="s-1")

INHIBITIONS = [
    # A raise in maintenance is recorded, but nobody is notified.
    (situation(OK, inhibited_by="s-1"), INHIBITED),
    (situation(OK, repeat=True, inhibited_by="s-1"), INHIBITED),
    # The first object that is not inhibited is notified, though the alarm is raised already.
    (
        situation(ALARM, others_raised=2, others_silent=2),
        dataclasses.replace(QUIETLY_RAISED, fire=True, previous=OK),
    ),
    (situation(ALARM, others_raised=2, others_silent=1), QUIETLY_RAISED),
    (
        situation(ALARM, others_raised=2, others_silent=2, inhibited_by="s-1"),
        dataclasses.replace(QUIETLY_RAISED, previous=OK, inhibited_by="s-1"),
    ),
    # Repetitions are held back; also between the end of the maintenance and the release.
    (situation(ALARM, repeat=True, occurrence=latest(), inhibited_by="s-1"), REPEAT_INHIBITED),
    (situation(ALARM, repeat=True, occurrence=SILENT), REPEAT_INHIBITED),
    (situation(ALARM, repeat=True, occurrence=PENDING), REPEAT_INHIBITED),
    # A change of severity is notified if the raise was.
    (situation(ALARM, occurrence=latest(), severity_changed=True, inhibited_by="s-1"), SEVERE),
    (situation(ALARM, occurrence=PENDING, severity_changed=True), SEVERE),
    (
        situation(ALARM, occurrence=SILENT, severity_changed=True),
        dataclasses.replace(SEVERE, inhibited_by="s-1"),
    ),
    # So is a clear.
    (situation(ALARM, occurrence=latest(), inhibited_by="s-1", **RECOVER), CLEARED),
    (situation(ALARM, occurrence=PENDING, **RECOVER), CLEARED),
    (
        situation(ALARM, occurrence=SILENT, **RECOVER),
        dataclasses.replace(CLEARED, fire=False, inhibited_by="s-1"),
    ),
    # The last object of which anyone was notified returns the alarm to ok for them, not its row.
    (
        situation(ALARM, occurrence=latest(), others_raised=1, others_silent=1, **RECOVER),
        dataclasses.replace(CLEARED, record_state=False),
    ),
    (
        situation(ALARM, occurrence=SILENT, others_raised=1, others_silent=1, **RECOVER),
        dataclasses.replace(PARTLY_CLEARED, inhibited_by="s-1"),
    ),
    (
        situation(ALARM, occurrence=SILENT, others_raised=1, **RECOVER),
        dataclasses.replace(PARTLY_CLEARED, inhibited_by="s-1"),
    ),
]

TABLE = [
    # The first matching event raises, from whatever state the alarm was in.
    (situation(OK), RAISED),
    (situation(UNKNOWN), RAISED),
    # An occurrence that has ended does not prevent the next one.
    (situation(OK, occurrence=latest(raised=False)), RAISED),
    # The state was reset through the API while the occurrence was raised: the row is authoritative.
    (situation(OK, occurrence=latest()), RAISED),
    (situation(UNKNOWN, occurrence=latest()), RAISED),
    # Fired before, without repetition: nothing happens, as in Aodh.
    (situation(ALARM, occurrence=latest()), Decision(Reason.ALREADY_RAISED)),
    # On an alarm that clears, the fault has the time of its newest event: an older recovery is late.
    (situation(ALARM, occurrence=latest(), clears=True), Decision(Reason.ALREADY_RAISED, confirm=True)),
    # Another managed object of an alarm that is already in alarm: it gets its own occurrence, no action is
    # called.
    (situation(ALARM, others_raised=1), QUIETLY_RAISED),
    # In alarm without an occurrence (by hand, or by Aodh's evaluator): one begins, no action is called.
    (situation(ALARM), QUIETLY_RAISED),
    # Repetition: every matching event calls the actions, on this object and on others.
    (situation(ALARM, repeat=True, occurrence=latest()), REPEATED),
    (situation(ALARM, repeat=True), RAISED),
    (situation(ALARM, repeat=True, others_raised=2), RAISED),
    (situation(OK, repeat=True), RAISED),
    # Beyond the maximum of objects: with repetition the actions are called as by Aodh, else nothing is
    # recorded.
    (situation(ALARM, others_raised=9, full=True), BEYOND),
    (situation(ALARM, others_raised=9, full=True, clears=True), BEYOND),
    (situation(ALARM, others_raised=9, full=True, repeat=True), BEYOND_REPEATED),
    # The recorded objects are not affected.
    (situation(ALARM, occurrence=latest(), full=True, repeat=True), REPEATED),
    (situation(ALARM, occurrence=latest(), others_raised=9, full=True, **RECOVER), PARTLY_CLEARED),
    # A recovery: to ok, and its actions.
    (situation(ALARM, occurrence=latest(), **RECOVER), CLEARED),
    # Another object is still raised: this occurrence ends, the alarm stays.
    (situation(ALARM, occurrence=latest(), others_raised=1, **RECOVER), PARTLY_CLEARED),
    # Raised by hand or by another evaluator: the recovery of the resource that the rule names ends it.
    (situation(ALARM, **RECOVER), CLEARED),
    # But not if the rule names no resource: this event may be about any.
    (situation(ALARM, rule=ON_ANY_RESOURCE, **RECOVER), HEALTHY),
    # Nor if it is raised on others: then it was not raised by hand.
    (situation(ALARM, others_raised=1, **RECOVER), HEALTHY),
    # A rule without a resource clears what an event of the same object raised.
    (situation(ALARM, occurrence=latest(), rule=ON_ANY_RESOURCE, **RECOVER), CLEARED),
    # Healthy resources send events all the time.
    (situation(OK, **RECOVER), HEALTHY),
    (situation(UNKNOWN, **RECOVER), HEALTHY),
    (situation(OK, occurrence=latest(raised=False), **RECOVER), HEALTHY),
    # A user has reset it: there is nothing to clear, and no second call.
    (situation(OK, occurrence=latest(), **RECOVER), HEALTHY),
    # An alarm that does not clear stays in alarm, as in Aodh.
    (
        situation(ALARM, occurrence=latest(), verdict=Verdict.RECOVERED),
        Decision(Reason.NO_LONGER_MATCHES),
    ),
    # The rule changed since the alarm was found.
    (situation(OK, verdict=Verdict.NOTHING), Decision(Reason.NO_LONGER_MATCHES)),
    # One event takes effect once (G2).
    (situation(OK, seen=True), Decision(Reason.DUPLICATE)),
    (situation(ALARM, repeat=True, occurrence=latest(), seen=True), Decision(Reason.DUPLICATE)),
    (situation(ALARM, occurrence=latest(), seen=True, **RECOVER), Decision(Reason.DUPLICATE)),
    # Outside its time constraints an alarm neither fires nor clears.
    (situation(OK, in_time=False), Decision(Reason.OUTSIDE_TIME_CONSTRAINTS)),
    (
        situation(ALARM, occurrence=latest(), in_time=False, **RECOVER),
        Decision(Reason.OUTSIDE_TIME_CONSTRAINTS),
    ),
    # An event older than the one that set the state changes nothing, and is recorded (G9).
    (situation(OK, occurrence=latest(raised=False, seconds=1)), Decision(Reason.LATE, Kind.LATE, OK)),
    (situation(ALARM, occurrence=latest(seconds=1), **RECOVER), Decision(Reason.LATE, Kind.LATE, ALARM)),
    (
        situation(ALARM, repeat=True, occurrence=latest(seconds=1)),
        Decision(Reason.LATE, Kind.LATE, ALARM),
    ),
    # Late, but without effect anyway: nothing is recorded.
    (situation(ALARM, occurrence=latest(seconds=1)), Decision(Reason.ALREADY_RAISED)),
    (situation(OK, occurrence=latest(raised=False, seconds=1), **RECOVER), Decision(Reason.NOT_RAISED)),
    # An event with the same time is not late: some sources have coarse clocks.
    (situation(OK, occurrence=latest(raised=False, seconds=0)), RAISED),
    (situation(ALARM, occurrence=latest(seconds=0), **RECOVER), CLEARED),
    # A rule that counts is not raised by the first matches; these do not make an earlier clear late.
    (situation(OK, short=True, clears=True), Decision(Reason.COUNTED)),
    (situation(OK, short=True, clears=True, occurrence=latest(raised=False)), Decision(Reason.COUNTED)),
    (situation(OK, short=True, occurrence=latest(raised=False, seconds=1)), Decision(Reason.LATE)),
    (situation(ALARM, short=True, occurrence=latest()), Decision(Reason.ALREADY_RAISED)),
    # A clear that is to be held changes nothing yet, and neither does a second one.
    (situation(ALARM, occurrence=latest(), holds=True, **RECOVER), HELD),
    (situation(ALARM, occurrence=latest(), holds=True, held=True, **RECOVER), HELD),
    (situation(OK, holds=True, **RECOVER), HEALTHY),
    (
        situation(ALARM, occurrence=latest(seconds=1), holds=True, **RECOVER),
        Decision(Reason.LATE, Kind.LATE, ALARM),
    ),
    # A match meanwhile continues the occurrence; actions are called only with repetition.
    (situation(ALARM, occurrence=latest(), held=True), CONTINUED),
    (
        situation(ALARM, repeat=True, occurrence=latest(), held=True),
        dataclasses.replace(CONTINUED, record_state=True, fire=True),
    ),
    # A match from before the clear does not.
    (situation(ALARM, occurrence=latest(seconds=1), held=True), Decision(Reason.LATE, Kind.LATE, ALARM)),
    # A change of the severity is recorded; with repetition the actions are called anyway.
    (situation(ALARM, occurrence=latest(), severity_changed=True), SEVERE),
    (situation(ALARM, repeat=True, occurrence=latest(), severity_changed=True), REPEATED),
    (situation(OK, occurrence=latest(raised=False), severity_changed=True), RAISED),
]


@pytest.mark.parametrize(("situation", "decision"), TABLE)
def test_decision(situation: Situation, decision: Decision) -> None:
    assert decide(situation) == decision


def test_the_table_shows_every_reason_that_is_decided_here() -> None:
    before_the_decision = {Reason.DELETED, Reason.DISABLED, Reason.MOVED, Reason.BAD_RULE}
    assert {decision.reason for _, decision in TABLE} == set(Reason) - before_the_decision


@pytest.mark.parametrize(("situation", "decision"), TABLE)
def test_a_decision_without_a_record_calls_no_action(situation: Situation, decision: Decision) -> None:
    if decision.fire:
        assert decision.record_state
    if decision.kind is None:
        assert not decision.fire
        assert not decision.record_state


@pytest.mark.parametrize(("situation", "decision"), TABLE)
def test_deciding_twice_changes_nothing(situation: Situation, decision: Decision) -> None:
    """An event that was processed before is a duplicate, or no longer matches."""
    again = decide(dataclasses.replace(situation, seen=True))
    assert again.kind is None


@pytest.mark.parametrize(
    ("mode", "has_ok_actions", "answer"),
    [
        (WITH_OK_ACTIONS, True, True),
        (WITH_OK_ACTIONS, False, False),
        (ALWAYS, False, True),
        (ALWAYS, True, True),
        ("never", True, False),
        ("never", False, False),
    ],
)
def test_which_alarms_recover_by_themselves(mode: str, has_ok_actions: bool, answer: bool) -> None:
    assert clears(mode, definition(has_ok_actions=has_ok_actions)) is answer


@pytest.mark.parametrize(("given", "expected"), INHIBITIONS)
def test_inhibition(given: Situation, expected: Decision) -> None:
    assert decide(given) == expected
