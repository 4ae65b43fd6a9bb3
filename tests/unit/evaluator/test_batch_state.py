"""Sequences within one batch: the effect of earlier events on later ones, and what is finally written."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from eventalarm.evaluator.batch_state import BatchState, new_id
from eventalarm.evaluator.decide import Decision, Reason, Situation, decide
from eventalarm.evaluator.event_rule import Verdict, compile_rule
from eventalarm.evaluator.outcome import Outcome, Subject
from eventalarm.model import ALARM, OK, UNKNOWN, Alarm, Kind, Occurrence
from tests.support.builders import NOW, PROJECT, RESOURCE_TRAITS, alarm, at, condition, event, rule

RULE = rule("*", condition("state", "error"))
NUMBERS = itertools.count()
COMPILED = compile_rule(RULE, RESOURCE_TRAITS)


class Play:
    """Evaluates events for one alarm as the engine does: decides on the current state, then applies."""

    def __init__(
        self,
        the_alarm: Alarm | None = None,
        occurrences: Sequence[Occurrence] = (),
        seen: Sequence[tuple[str, str]] = (),
        raised_elsewhere: int = 0,
    ) -> None:
        self.alarm = the_alarm or alarm(the_rule=RULE)
        raised = sum(o.raised for o in occurrences) + raised_elsewhere
        self.state = BatchState(
            {self.alarm.alarm_id: self.alarm},
            {(o.alarm_id, o.managed_object): o for o in occurrences},
            {self.alarm.alarm_id: raised} if raised else {},
            {(self.alarm.alarm_id, *one) for one in seen},
            now=NOW,
            make_id=lambda: f"id-{next(NUMBERS)}",
        )

    def tell(self, state: str, vm: str = "vm-1", time: float = 0, message: str = "") -> Reason:
        the_event = event(state=state, resource_id=vm, message_id=message)
        subject = Subject(the_event, vm, the_event.message_id, at(time))
        row = self.state.alarms[self.alarm.alarm_id]
        verdict = COMPILED.verdict(the_event)
        decision = decide(
            Situation(
                row,
                COMPILED,
                verdict,
                subject.event_time,
                self.state.occurrence(row.alarm_id, vm),
                self.state.others_raised(row.alarm_id, vm),
                self.state.seen(row.alarm_id, subject),
                in_time=True,
                clears=True,
            )
        )
        self.state.apply(row, subject, decision, verdict)
        return decision.reason

    @property
    def outcome(self) -> Outcome:
        return self.state.outcome()

    def latest(self) -> dict[str, Occurrence]:
        """The written occurrences that stay the latest of their object; there can be one for each."""
        latest = [o for o in self.outcome.occurrences if o.occurrence_id not in self.outcome.superseded]
        assert len({o.managed_object for o in latest}) == len(latest)
        return {o.managed_object: o for o in latest}

    def states(self) -> list[tuple[str, str]]:
        return [(t.previous, t.current) for t in self.outcome.state_changes]


def raised_occurrence(vm: str = "vm-1", seconds: float = -60, raised: bool = True) -> Occurrence:
    return Occurrence(f"occurrence-{vm}", "alarm-1", PROJECT, vm, raised, at(seconds), at(seconds))


def test_raise() -> None:
    play = Play()
    assert play.tell("error", message="m1", time=-5) is Reason.RAISED
    (transition,) = play.outcome.transitions
    assert transition.kind is Kind.RAISED
    assert (transition.previous, transition.current) == (OK, ALARM)
    assert (transition.alarm_name, transition.severity) == ("name of alarm-1", "low")
    assert (transition.event.message_id, transition.managed_object) == ("m1", "vm-1")
    assert (transition.event_time, transition.recorded_at) == (at(-5), NOW)
    assert transition.actions == ("http://alarm",)
    assert transition.reason.startswith("Event <id=m1,event_type=compute.instance.update> hits the query")
    (occurrence,) = play.outcome.occurrences
    assert occurrence == Occurrence(
        transition.occurrence_id, "alarm-1", PROJECT, "vm-1", True, at(-5), NOW, hits=1
    )
    assert (play.outcome.superseded, play.outcome.externally_reset) == ([], [])


def test_a_healthy_object_leaves_a_note_that_the_first_occurrence_takes_over() -> None:
    play = Play()
    assert play.tell("active", time=1) is Reason.NOT_RAISED
    (note,) = play.outcome.occurrences
    assert (note.hits, note.raised, note.event_time) == (0, False, at(1))
    assert play.outcome.transitions == []
    assert play.tell("error", time=0) is Reason.LATE
    assert play.tell("error", time=2) is Reason.RAISED
    (occurrence,) = play.outcome.occurrences
    assert (occurrence.occurrence_id, occurrence.hits, occurrence.raised) == (note.occurrence_id, 1, True)
    assert play.outcome.superseded == []


def test_raise_clear_raise() -> None:
    play = Play()
    reasons = [play.tell(state, time=t) for t, state in enumerate(["error", "active", "error"])]
    assert reasons == [Reason.RAISED, Reason.CLEARED, Reason.RAISED]
    assert play.states() == [(OK, ALARM), (ALARM, OK), (OK, ALARM)]
    assert [t.actions for t in play.outcome.transitions] == [
        ("http://alarm",),
        ("http://ok",),
        ("http://alarm",),
    ]
    first, second = play.outcome.occurrences
    assert (first.raised, first.cleared_at, first.event_time) == (False, NOW, at(1))
    assert (second.raised, second.cleared_at, second.event_time) == (True, None, at(2))
    assert play.outcome.superseded == [first.occurrence_id]
    assert [t.occurrence_id for t in play.outcome.transitions] == [
        first.occurrence_id,
        first.occurrence_id,
        second.occurrence_id,
    ]
    assert play.state.others_raised("alarm-1", "other") == 1


def test_clear_raise_clear_of_an_earlier_occurrence() -> None:
    play = Play(alarm(the_rule=RULE, state=ALARM), [raised_occurrence()])
    reasons = [play.tell(state, time=t) for t, state in enumerate(["active", "error", "active"])]
    assert reasons == [Reason.CLEARED, Reason.RAISED, Reason.CLEARED]
    assert play.outcome.superseded == ["occurrence-vm-1"]
    assert play.latest()["vm-1"].raised is False
    assert play.state.others_raised("alarm-1", "other") == 0


def test_several_managed_objects_share_the_alarm() -> None:
    play = Play()
    assert play.tell("error", "vm-1", 0) is Reason.RAISED
    assert play.tell("error", "vm-2", 1) is Reason.RAISED
    assert play.tell("error", "vm-1", 2) is Reason.ALREADY_RAISED
    assert play.tell("active", "vm-1", 3) is Reason.CLEARED
    assert play.state.alarms["alarm-1"].state == ALARM, "the other one is still down"
    assert play.tell("active", "vm-1", 4) is Reason.NOT_RAISED
    assert play.tell("active", "vm-2", 5) is Reason.CLEARED
    assert play.state.alarms["alarm-1"].state == OK
    # One call when the first object fails, one when the last has recovered.
    assert [t.actions for t in play.outcome.transitions if t.actions] == [("http://alarm",), ("http://ok",)]
    assert play.states() == [(OK, ALARM), (ALARM, OK)]
    assert {vm: o.raised for vm, o in play.latest().items()} == {"vm-1": False, "vm-2": False}


def test_objects_raised_before_this_batch_count() -> None:
    play = Play(alarm(the_rule=RULE, state=ALARM), [raised_occurrence("vm-1")], raised_elsewhere=1)
    assert play.state.others_raised("alarm-1", "vm-1") == 1
    assert play.state.others_raised("alarm-1", "vm-9") == 2
    assert play.tell("active", "vm-1") is Reason.CLEARED
    assert play.states() == []
    assert play.outcome.transitions[0].current == ALARM


@pytest.mark.parametrize("state", [OK, UNKNOWN])
def test_a_reset_through_the_api_ends_every_occurrence(state: str) -> None:
    play = Play(
        alarm(the_rule=RULE, state=state),
        [raised_occurrence("vm-1"), raised_occurrence("vm-2")],
        raised_elsewhere=3,
    )
    assert play.outcome.externally_reset == ["alarm-1"]
    assert play.state.others_raised("alarm-1", "vm-9") == 0
    assert play.tell("active", "vm-1") is Reason.NOT_RAISED
    # The next fault fires again, in its own occurrence; that of the other object has ended.
    assert play.tell("error", "vm-1", 1) is Reason.RAISED
    assert play.states() == [(state, ALARM)]
    assert play.outcome.superseded == ["occurrence-vm-1"]
    assert play.latest()["vm-1"].occurrence_id != "occurrence-vm-1"
    assert play.tell("active", "vm-1", 2) is Reason.CLEARED
    assert play.states() == [(state, ALARM), (ALARM, OK)]


def test_no_reset_where_the_alarm_is_in_alarm_or_unknown_to_us() -> None:
    assert Play(alarm(the_rule=RULE, state=ALARM), [raised_occurrence()]).outcome.externally_reset == []
    deleted = BatchState({}, {}, {"gone": 2}, set(), now=NOW)
    assert deleted.outcome().externally_reset == []


def test_late_events_are_recorded_and_change_nothing() -> None:
    play = Play()
    play.tell("error", time=0)
    play.tell("active", time=10)
    assert play.tell("error", time=5) is Reason.LATE
    assert play.state.alarms["alarm-1"].state == OK
    late = play.outcome.transitions[-1]
    assert (late.kind, late.previous, late.current, late.actions) == (Kind.LATE, OK, OK, ())
    assert late.occurrence_id == play.latest()["vm-1"].occurrence_id
    assert play.latest()["vm-1"].event_time == at(10)
    # Another object is not affected.
    assert play.tell("error", "vm-2", time=5) is Reason.RAISED


def test_one_event_counts_once() -> None:
    play = Play(seen=[("vm-1", "m0")])
    assert play.tell("error", message="m0") is Reason.DUPLICATE
    assert play.tell("error", message="m1") is Reason.RAISED
    assert play.tell("active", time=1, message="m2") is Reason.CLEARED
    assert play.tell("error", time=1, message="m1") is Reason.DUPLICATE
    assert play.tell("error", "vm-2", message="m1") is Reason.RAISED, "another object of the same event"
    assert len(play.outcome.transitions) == 3


def test_repetition_counts_hits() -> None:
    play = Play(alarm(the_rule=RULE, repeat_actions=True))
    assert [play.tell("error", time=t) for t in range(4)] == [Reason.RAISED, *[Reason.REPEATED] * 3]
    (occurrence,) = play.outcome.occurrences
    assert (occurrence.hits, occurrence.event_time, occurrence.raised_at, occurrence.changed_at) == (
        4,
        at(3),
        NOW,
        NOW,
    )
    assert play.states() == [(OK, ALARM), *[(ALARM, ALARM)] * 3]
    assert [t.kind for t in play.outcome.transitions] == [Kind.RAISED, *[Kind.CHANGED] * 3]
    assert all(t.actions == ("http://alarm",) for t in play.outcome.transitions)
    assert play.tell("active", time=9) is Reason.CLEARED
    assert play.latest()["vm-1"].hits == 4, "a recovery is no hit"


def test_an_alarm_raised_by_hand_recovers_into_an_occurrence_that_has_ended() -> None:
    on_vm = compile_rule(rule("*", condition("state", "error"), resource_id="vm-1"), RESOURCE_TRAITS)
    play = Play(alarm(the_rule=RULE, state=ALARM))
    row = play.state.alarms["alarm-1"]
    the_event = event(state="active", resource_id="vm-1")
    subject = Subject(the_event, "vm-1", the_event.message_id, NOW)
    situation = Situation(row, on_vm, Verdict.RECOVERED, NOW, None, 0, False, True, True)
    play.state.apply(row, subject, decide(situation), Verdict.RECOVERED)
    (occurrence,) = play.outcome.occurrences
    assert (occurrence.raised, occurrence.cleared_at) == (False, NOW)
    assert play.states() == [(ALARM, OK)]
    assert play.state.others_raised("alarm-1", "vm-9") == 0
    assert " no longer hits the query" in play.outcome.transitions[0].reason


def test_nothing_is_written_without_a_decision() -> None:
    play = Play()
    subject = Subject(event(), "vm-1", "m", NOW)
    play.state.apply(play.alarm, subject, Decision(Reason.ALREADY_RAISED), Verdict.MATCH)
    assert play.outcome == Outcome([], [], frozenset(), [], [], [], [], [])
    assert not play.state.seen("alarm-1", subject)


@pytest.mark.parametrize("states", list(itertools.product(["error", "active"], repeat=5)))
def test_any_sequence_in_one_batch_ends_as_one_by_one(states: tuple[str, ...]) -> None:
    """The result does not depend on the batch size: one state for all events, or a new one for each."""
    together = Play()
    for t, state in enumerate(states):
        together.tell(state, vm=f"vm-{t % 2}", time=t)
    row, latest = alarm(the_rule=RULE), dict[str, Occurrence]()
    apart: list[Any] = []
    for t, state in enumerate(states):
        single = Play(row, list(latest.values()))
        single.tell(state, vm=f"vm-{t % 2}", time=t)
        row = dataclasses.replace(row, state=single.state.alarms["alarm-1"].state)
        latest |= single.latest()
        apart += single.outcome.transitions

    def summary(transitions: Sequence[Any]) -> list[Any]:
        return [(t.kind, t.previous, t.current, t.managed_object, t.actions) for t in transitions]

    assert summary(together.outcome.transitions) == summary(apart)
    assert together.state.alarms["alarm-1"].state == row.state
    assert {v: o.raised for v, o in together.latest().items()} == {v: o.raised for v, o in latest.items()}


def test_ids_are_fresh() -> None:
    assert new_id() != new_id()
