"""Inhibition against a model: those who are notified see the alarm as if nothing were raised in maintenance.

The model knows no occurrences: it holds which objects are raised, and of which anyone was notified.
"""

from __future__ import annotations

import dataclasses
import itertools

import hypothesis
from hypothesis import strategies as st

from eventalarm.evaluator.batch_state import BatchState
from eventalarm.evaluator.decide import Situation, decide
from eventalarm.evaluator.event_rule import Verdict, compile_rule
from eventalarm.evaluator.inhibitions import Inhibitions
from eventalarm.evaluator.outcome import Subject
from eventalarm.evaluator.release import releases
from eventalarm.model import ALARM, OK
from eventalarm.storage.alarm_counts import AlarmCount
from eventalarm.storage.inhibitions import Inhibited
from tests.support.builders import NOW, RESOURCE_TRAITS, alarm, at, condition, event, rule

RULE = rule("*", condition("state", "error"))
COMPILED = compile_rule(RULE, RESOURCE_TRAITS)
OBJECTS = ("a", "b", "c")
CHANGES = st.lists(
    st.tuples(st.sampled_from(["raise", "clear", "begin", "end"]), st.sampled_from(OBJECTS)), max_size=25
)


class Model:
    """What is notified, as (state, object); the release follows the end of a maintenance at once."""

    def __init__(self, repeat: bool) -> None:
        self.repeat = repeat
        self.notified: list[tuple[str, str]] = []
        self.maintained: set[str] = set()
        self.raised: list[str] = []
        self.visible: set[str] = set()
        self.pending: set[str] = set()

    def _show(self, name: str) -> None:
        if self.repeat or not self.visible:
            self.notified.append((ALARM, name))
        self.visible.add(name)

    def apply(self, what: str, name: str) -> None:
        if what == "begin":
            self.maintained.add(name)
        elif what == "end":
            self.maintained.discard(name)
            if name in self.pending:
                self.pending.discard(name)
                self._show(name)
        elif what == "raise" and (name not in self.raised or self.repeat):
            if name in self.maintained:
                self.pending.add(name)
            else:
                self._show(name)
            if name not in self.raised:
                self.raised.append(name)
        elif what == "clear" and name in self.raised:
            self.raised.remove(name)
            self.pending.discard(name)
            if name in self.visible:
                self.visible.discard(name)
                if not self.visible:
                    self.notified.append((OK, name))


class Real:
    """The pure parts of the evaluator, and what the storage does between them."""

    def __init__(self, repeat: bool) -> None:
        self.alarm = alarm(the_rule=RULE, repeat_actions=repeat)
        self.numbers = itertools.count(1)
        self.maintained: dict[str, str] = {}
        self.notified: list[tuple[str, str]] = []
        self.state = BatchState(
            {self.alarm.alarm_id: self.alarm},
            {},
            {},
            set(),
            now=NOW,
            inhibitions=Inhibitions(self.maintained),
        )

    def _tell(self, state: str, name: str) -> None:
        the_event = event(state=state, resource_id=name)
        subject = Subject(the_event, name, the_event.message_id, at(next(self.numbers)))
        row, known = self.state.alarms[self.alarm.alarm_id], len(self.state.transitions_since(0))
        verdict = Verdict.MATCH if state == "error" else Verdict.RECOVERED
        decision = decide(
            Situation(
                alarm=row,
                rule=COMPILED,
                verdict=verdict,
                event_time=subject.event_time,
                occurrence=self.state.occurrence(row.alarm_id, name),
                others_raised=self.state.others_raised(row.alarm_id, name),
                seen=False,
                in_time=True,
                clears=True,
                inhibited_by=self.state.inhibited_by(row, subject),
                others_silent=self.state.others_silent(row.alarm_id, name),
            )
        )
        self.state.apply(row, subject, decision, verdict)
        for one in self.state.transitions_since(known):
            assert one.inhibited_by is None or not one.actions
            if one.actions:
                self.notified.append((one.current, name))

    def _release(self, name: str) -> None:
        alarm_id = self.alarm.alarm_id
        known = self.state.occurrence(alarm_id, name)
        if known is None or known.inhibited_by is None or not known.raised:
            return
        (count,) = (one for one in self.state.outcome().counts if one.alarm_id == alarm_id)
        one = Inhibited(known.occurrence_id, alarm_id, known.raise_inhibited)
        row = self.state.alarms[alarm_id]
        if releases(row, AlarmCount(alarm_id, count.raised, False, count.inhibited), [one])[
            one.occurrence_id
        ]:
            self.notified.append((ALARM, name))
        released = dataclasses.replace(known, inhibited_by=None, raise_inhibited=False)
        self.state._recount(alarm_id, known, released)
        self.state._keep(released)

    def apply(self, what: str, name: str) -> None:
        if what == "begin":
            self.maintained[name] = "s-1"
        elif what == "end":
            self.maintained.pop(name, None)
            self._release(name)
        else:
            self._tell("error" if what == "raise" else "active", name)


@hypothesis.given(CHANGES, st.booleans())
@hypothesis.settings(max_examples=300, deadline=None)
def test_what_is_notified_is_as_if_nothing_were_raised_in_maintenance(
    changes: list[tuple[str, str]], repeat: bool
) -> None:
    model, real = Model(repeat), Real(repeat)
    for what, name in changes:
        model.apply(what, name)
        real.apply(what, name)
        assert real.notified == model.notified, (what, name)
        assert (real.state.alarms[real.alarm.alarm_id].state == ALARM) is bool(model.raised)
