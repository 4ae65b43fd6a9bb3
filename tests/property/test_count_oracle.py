"""A rule with ``count`` raises and clears as a brute-force count says, in any order of arrival.

The oracle keeps every match and counts anew after each event; the evaluation keeps the newest few in rows
that are written as JSON and read again between any two events.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
import re
from collections import Counter
from typing import Any, cast

import hypothesis
import pytest
from hypothesis import strategies as st

from eventalarm.evaluator.decide import NOTIFICATION_TYPE, Reason
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.evaluation import Evaluation, EvaluationContext, Match
from eventalarm.evaluator.event_rule import Verdict
from eventalarm.evaluator.outcome import Subject
from eventalarm.model import ALARM, TimerKind
from tests.property import examples
from tests.property.test_timers_stateful import CLEAR, FAULT, World
from tests.support.builders import NOW, event

WITHIN = 10
PAGE = pathlib.Path(__file__).parents[2] / "doc" / "source" / "user" / "rules.rst"
EXAMPLES = re.findall(
    r"   \* - ((?:(?:match|clear) \d+(?:, )?)+)\n     - (alarm|ok)\n", PAGE.read_text(encoding="utf-8")
)


class Cloud(World):
    """One alarm with its rows, whose events are evaluated as in a transaction."""

    def __init__(self, at_least: int, within: int = WITHIN) -> None:
        count = {"at_least": at_least, "within": within}
        super().__init__(
            {"event_type": "*", "query": FAULT, "clear": CLEAR, "clear_after": 1000, "count": count}
        )
        self.evaluation = Evaluation(
            cast(AlarmCache, self.Definitions(self)), types={NOTIFICATION_TYPE}, clear_mode="never"
        )

    @dataclasses.dataclass
    class Definitions:
        """The one definition, compiled."""

        cloud: Cloud

        def rule(self, definition: Any) -> Any:
            return self.cloud.rule

    def receive(self, number: int, second: int, fault: bool) -> Reason:
        for name, timer in self.timers.items():
            body = json.loads(json.dumps(timer.event)) if timer.kind is TimerKind.COUNT else timer.event
            self.timers[name] = dataclasses.replace(timer, event=body)
        batch, timer_state = self.open()
        time = NOW + datetime.timedelta(seconds=second)
        body = event(state="error" if fault else "active", message_id=f"m-{number}", generated=time)
        subject = Subject(body, "vm-1", body.message_id, time)
        definition = self.alarm.definition
        match = Match(definition.alarm_id, definition.project_id, Verdict.MATCH, subject)
        reason = self.evaluation(EvaluationContext(batch, timer_state, self.moment(), Counter()), match)
        self.close(batch, timer_state)
        return reason

    def expire(self) -> None:
        """Let ``clear_after`` pass, as long as the count is kept."""
        self.now += 1000
        for timer in list(self.timers.values()):
            if timer.kind is TimerKind.CLEAR_AFTER:
                self.fire(timer)


@dataclasses.dataclass
class Oracle:
    """Every match since the latest clear; times are seconds."""

    at_least: int
    raised: bool = False
    cleared: float = -1
    spent: float = -1
    matches: dict[int, int] = dataclasses.field(default_factory=dict)

    def receive(self, number: int, second: int, fault: bool) -> None:
        if not fault:
            later = [time for time in self.matches.values() if time > second]
            if not self.raised or len(later) < self.at_least:
                self.raised, self.cleared = False, max(self.cleared, second)
        elif second > self.spent and (self.raised or second > self.cleared):
            self.matches[number] = second
        self.matches = {n: t for n, t in self.matches.items() if t > max(self.cleared, self.spent)}
        if fault and self.matches.get(number) == second:
            newest = max(self.matches.values())
            within = [time for time in self.matches.values() if newest - time <= WITHIN]
            self.raised = self.raised or len(within) >= self.at_least

    def expire(self) -> None:
        if self.raised:
            self.raised, self.spent = False, max(self.matches.values())


@examples(300)
@hypothesis.given(
    at_least=st.integers(2, 4),
    events=st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=14, unique_by=lambda one: one[0]),
    order=st.randoms(use_true_random=False),
)
def test_the_count_is_that_of_brute_force(at_least: int, events: list[tuple[int, bool]], order: Any) -> None:
    """Fails when late events, redelivered ones, or ones before a clear count wrongly."""
    cloud, oracle = Cloud(at_least), Oracle(at_least)
    arrivals = [(number, *one) for number, one in enumerate(events)]
    order.shuffle(arrivals)
    for place, (number, second, fault) in enumerate(arrivals):
        cloud.receive(number, second, fault)
        oracle.receive(number, second, fault)
        assert (cloud.alarm.state == ALARM) is oracle.raised
        again = order.choice(arrivals[: place + 1])
        before = list(cloud.transitions)
        cloud.receive(*again)
        # A redelivered clear may be recorded as late; nothing else happens twice.
        assert [kind for kind, _ in cloud.transitions[len(before) :]] in ([], ["late"])
        kept = [t for t in cloud.timers.values() if t.kind is TimerKind.COUNT]
        assert all(len((t.event or {})["matches"]) <= at_least for t in kept)
        if order.random() < 0.1:
            cloud.expire()
            oracle.expire()


def test_the_page_has_examples() -> None:
    assert {state for _, state in EXAMPLES} == {"alarm", "ok"}


@pytest.mark.parametrize(("events", "state"), EXAMPLES)
def test_an_example_of_the_page(events: str, state: str) -> None:
    cloud = Cloud(3, 600)
    for number, word in enumerate(events.split(", ")):
        kind, second = word.split()
        cloud.receive(number, int(second), kind == "match")
    assert (cloud.alarm.state == ALARM) is (state == "alarm")
