"""However events, silence, edits and resets follow each other, timers do what a plain model says.

The model is a table of what is raised, held and due, in words of the documentation; the parts under test are
the pure ones that the engine and the runner of timers are made of.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from typing import Any

from hypothesis import stateful
from hypothesis import strategies as st

from eventalarm.evaluator.batch_state import BatchState
from eventalarm.evaluator.compiled_rule import CompiledRule
from eventalarm.evaluator.decide import NOTIFICATION_TYPE, Decision, Reason, Situation, decide
from eventalarm.evaluator.event_rule import Verdict
from eventalarm.evaluator.notification_rule import compile_notification, parse
from eventalarm.evaluator.outcome import Subject
from eventalarm.evaluator.timer_rules import recomputed, required_timers, timer_event, timer_reason
from eventalarm.evaluator.timers import TimerState
from eventalarm.model import ALARM, OK, Alarm, Occurrence, Timer, TimerKind
from tests.property import examples
from tests.support.builders import NOW, RESOURCE_TRAITS, alarm, event

OBJECTS = ("vm-1", "vm-1", "vm-2")
FAULT = [{"field": "traits.state", "value": "error"}]
CLEAR = {"query": [{"field": "traits.state", "value": "active"}]}
RULES = st.one_of(
    st.builds(
        lambda clear_after, hold_down: {"clear": CLEAR, "clear_after": clear_after, "hold_down": hold_down},
        st.sampled_from([None, 5, 20]),
        st.sampled_from([None, 3, 30]),
    ),
    st.builds(
        lambda after, hold_down: {"absence": {"after": after}, "hold_down": hold_down},
        st.sampled_from([5, 20]),
        st.sampled_from([None, 3, 30]),
    ),
)


@dataclasses.dataclass
class Place:
    """What the model knows of one object; times are seconds since the start."""

    raised: bool = False
    clear_at: float | None = None
    miss_at: float | None = None
    held_until: float | None = None
    occurrences: int = 0


class World:
    """The pure parts put together as the engine and the runner do, with rows that stay."""

    def __init__(self, the_rule: dict[str, Any]) -> None:
        made = alarm(the_rule=the_rule)
        typed = dataclasses.replace(made.definition, type=NOTIFICATION_TYPE)
        self.alarm: Alarm = dataclasses.replace(made, definition=typed)
        self.occurrences: dict[tuple[str, str], Occurrence] = {}
        self.timers: dict[str, Timer] = {}
        self.now = 0.0
        self.ids = itertools.count()
        self.transitions: list[tuple[str, str]] = []

    @property
    def rule(self) -> CompiledRule:
        return compile_notification(parse(self.alarm.definition.rule), RESOURCE_TRAITS)

    def moment(self) -> datetime.datetime:
        return NOW + datetime.timedelta(seconds=self.now)

    def open(self) -> tuple[BatchState, TimerState]:
        raised = sum(occurrence.raised for occurrence in self.occurrences.values())
        batch = BatchState(
            {self.alarm.alarm_id: self.alarm},
            dict(self.occurrences),
            {self.alarm.alarm_id: raised} if raised else {},
            set(),
            now=self.moment(),
            make_id=lambda: f"id-{next(self.ids)}",
        )
        return batch, TimerState(self.timers.values(), self.moment())

    def close(self, batch: BatchState, timer_state: TimerState) -> None:
        outcome = batch.outcome()
        for key in [
            k
            for k, occurrence in self.occurrences.items()
            if k[0] in outcome.externally_reset and occurrence.raised
        ]:
            self.occurrences[key] = dataclasses.replace(self.occurrences[key], raised=False)
        for occurrence in outcome.occurrences:
            if occurrence.occurrence_id not in outcome.superseded:
                self.occurrences[occurrence.alarm_id, occurrence.managed_object] = occurrence
        puts, gone = timer_state.changes()
        self.timers.update({timer.timer_id: timer for timer in puts})
        for name in gone:
            del self.timers[name]
        self.alarm = batch.alarms[self.alarm.alarm_id]
        self.transitions += [(t.kind.value, t.managed_object) for t in outcome.transitions]

    def tell(self, vm: str, state: str) -> None:
        batch, timer_state = self.open()
        received = event(state=state, resource_id=vm, generated=self.moment())
        verdict = self.rule.verdict(received)
        if verdict is not Verdict.NOTHING:
            self._follow(
                batch, timer_state, Subject(received, vm, received.message_id, self.moment()), verdict
            )
            if self.rule.timers.absence_after is not None:
                whole = batch.occurrence(self.alarm.alarm_id, "")
                if whole is None:
                    timer_state.object_appeared(self.alarm.definition)
                elif whole.raised:
                    subject = Subject(received, "", received.message_id, self.moment())
                    self._follow(batch, timer_state, subject, verdict, whole_alarm=True)
        self.close(batch, timer_state)

    def _follow(
        self,
        batch: BatchState,
        timer_state: TimerState,
        subject: Subject,
        verdict: Verdict,
        whole_alarm: bool = False,
    ) -> None:
        decision = self._decide(batch, timer_state, subject, verdict, self.rule.timers.hold_down is not None)
        occurrence = batch.occurrence(self.alarm.alarm_id, subject.managed_object)
        timer_state.follow(
            self.alarm.definition,
            self.rule,
            subject,
            verdict=verdict,
            decision=decision,
            raised=occurrence is not None and occurrence.raised,
            whole_alarm=whole_alarm,
        )

    def take_note(self) -> None:
        """Do what the timer service does with a definition that is new to it; idempotent."""
        raised = [
            vm
            for (_, vm), occurrence in self.occurrences.items()
            if occurrence.raised and self.alarm.state == ALARM
        ]
        for _ in range(2):
            known = list(self.timers.values())
            puts, gone = required_timers(self.alarm, self.rule, known, raised, self.moment())
            self.timers.update({timer.timer_id: timer for timer in puts})
            for timer in gone:
                del self.timers[timer.timer_id]
        assert (puts, gone) == ([], [])

    def _decide(
        self, batch: BatchState, timer_state: TimerState, subject: Subject, verdict: Verdict, holds: bool
    ) -> Decision:
        name, vm = self.alarm.alarm_id, subject.managed_object
        row = batch.alarms[name]
        decision = decide(
            Situation(
                alarm=row,
                rule=self.rule,
                verdict=verdict,
                event_time=subject.event_time,
                occurrence=batch.occurrence(name, vm),
                others_raised=batch.others_raised(name, vm),
                seen=False,
                in_time=True,
                clears=True,
                holds=holds,
                held=timer_state.held(name, vm),
            )
        )
        reason = timer_reason(subject.event, row.definition)
        batch.apply(row, subject, decision, verdict, reason=reason)
        return decision

    def next_due(self) -> Timer | None:
        due = [timer for timer in self.timers.values() if timer.due_at is not None]
        return min(due, key=lambda timer: (timer.due_at, timer.kind, timer.managed_object), default=None)

    def fire(self, timer: Timer) -> None:
        batch, timer_state = self.open()
        current = recomputed(timer, self.alarm.definition, self.rule)
        if current is None:
            timer_state.forget(timer)
        elif current.due_at is not None and current.due_at > self.moment():
            timer_state.put(current)
        else:
            fired = timer_event(timer, self.alarm.definition)
            occurrence = batch.occurrence(self.alarm.alarm_id, timer.managed_object)
            moment = occurrence.event_time if occurrence is not None else timer.armed_at
            subject = Subject(fired, timer.managed_object, fired.message_id, moment)
            verdict = Verdict.MATCH if timer.kind is TimerKind.ABSENCE else Verdict.RECOVERED
            holds = timer.kind is TimerKind.CLEAR_AFTER and self.rule.timers.hold_down is not None
            decision = self._decide(batch, timer_state, subject, verdict, holds)
            timer_state.fired(self.alarm.definition, self.rule, timer, decision, fired)
            assert decision.reason is not Reason.LATE
        self.close(batch, timer_state)


class Timers(stateful.RuleBasedStateMachine):
    """Time passes, events come, people edit; after each step the world is as the model says."""

    @stateful.initialize(the_rule=RULES)
    def start(self, the_rule: dict[str, Any]) -> None:
        """Create the alarm."""
        said = {name: value for name, value in the_rule.items() if value is not None}
        self.world = World({"event_type": "*", "query": FAULT, **said})
        self.world.take_note()
        self.places = {vm: Place() for vm in {*OBJECTS, ""}}
        self.places[""].miss_at = self.timers.absence_after
        self.state = OK

    @property
    def timers(self) -> Any:
        return self.world.rule.timers

    @stateful.rule(vm=st.sampled_from(OBJECTS), fault=st.booleans())
    def receive(self, vm: str, fault: bool) -> None:
        """An event comes: that of the query (a match, or what is expected), or that of the clear part."""
        self.world.tell(vm, "error" if fault else "active")
        place, whole = self.places[vm], self.places[""]
        if self.timers.absence_after is None:
            (self._raise if fault else self._clear)(place)
        elif fault:
            self._clear(place)
            place.miss_at = self.world.now + self.timers.absence_after
            if whole.raised:
                self._clear(whole)
            whole.miss_at = None

    @stateful.rule(seconds=st.sampled_from([1, 2, 4, 7, 25]))
    def wait(self, seconds: int) -> None:
        """Everything that is due meanwhile happens, in its order and at its time."""
        end = self.world.now + seconds
        while (timer := self.world.next_due()) is not None:
            assert timer.due_at is not None
            due = (timer.due_at - NOW).total_seconds()
            if due > end:
                break
            self.world.now = max(self.world.now, due)
            self._model_until(self.world.now, timer)
            self.world.fire(timer)
        self.world.now = end

    def _model_until(self, now: float, timer: Timer) -> None:
        place = self.places[timer.managed_object]
        if timer.kind is TimerKind.ABSENCE:
            assert place.miss_at == now, "fires at its time"
            place.miss_at = None
            self._raise(place)
        elif timer.kind is TimerKind.CLEAR_AFTER:
            assert place.clear_at == now, "fires at its time"
            place.clear_at = None
            self._clear(place)
        else:
            assert place.held_until == now, "fires at its time"
            self._over(place)

    @stateful.rule()
    def reset(self) -> None:
        """A person sets the alarm to ok."""
        self.world.alarm = dataclasses.replace(self.world.alarm, state=OK)
        self.state = OK
        for place in self.places.values():
            place.raised = False

    @stateful.rule(seconds=st.sampled_from([5, 9]))
    def edit(self, seconds: int) -> None:
        """The time of the rule changes, and the listener takes note."""
        world, now = self.world, self.world.now
        kept = dict(world.alarm.definition.rule)
        before = kept.get("clear_after")
        if "absence" in kept:
            kept["absence"] = {"after": seconds}
        elif before is not None:
            kept["clear_after"] = seconds
        version = world.moment() + datetime.timedelta(microseconds=next(world.ids) + 1)
        definition = dataclasses.replace(world.alarm.definition, rule=kept, version=version)
        world.alarm = dataclasses.replace(world.alarm, definition=definition)
        world.take_note()
        for place in self.places.values():
            if place.miss_at is not None:
                place.miss_at = now + seconds
            if place.clear_at is not None and before is not None:
                # Counted from the same match as before.
                moved = max(now, place.clear_at - before + seconds)
                place.clear_at = moved if place.raised else None

    def _raise(self, place: Place) -> None:
        if not place.raised:
            place.occurrences += 1
        place.raised = True
        place.held_until = None
        self.state = ALARM
        if self.timers.clear_after is not None:
            place.clear_at = self.world.now + self.timers.clear_after

    def _clear(self, place: Place) -> None:
        if not place.raised:
            place.clear_at = place.held_until = None
        elif self.timers.hold_down is None:
            self._over(place)
        elif place.held_until is None:
            place.held_until = self.world.now + self.timers.hold_down

    def _over(self, place: Place) -> None:
        place.clear_at = place.held_until = None
        if place.raised:
            place.raised = False
            self.state = ALARM if any(one.raised for one in self.places.values()) else OK

    @stateful.invariant()
    def as_the_model_says(self) -> None:
        """What is raised, in which state, how often, and what is awaited."""
        world = self.world
        assert world.alarm.state == self.state
        for vm, place in self.places.items():
            occurrence = world.occurrences.get((world.alarm.alarm_id, vm))
            raised = occurrence is not None and occurrence.raised and world.alarm.state == ALARM
            assert raised == place.raised, vm
            occurrences = sum(kind == "raised" and where == vm for kind, where in world.transitions)
            assert occurrences == place.occurrences, vm
            waits = {t.kind for t in world.timers.values() if t.managed_object == vm and t.due_at is not None}
            expected = {
                TimerKind.CLEAR_AFTER: place.clear_at,
                TimerKind.ABSENCE: place.miss_at,
                TimerKind.HOLD_DOWN: place.held_until,
            }
            assert waits == {kind for kind, at in expected.items() if at is not None}, vm


TestTimers = Timers.TestCase
TestTimers.settings = examples(150, stateful_step_count=30, deadline=None)
