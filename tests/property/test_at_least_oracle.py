"""A rule with ``at_least`` is raised while a brute-force count says so, in any order of arrival.

The oracle keeps the newest event of every object; the evaluation keeps rows that are written as JSON and read
again between any two events.
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
from eventalarm.model import ALARM, OK, TimerKind
from tests.property import examples
from tests.property.test_timers_stateful import CLEAR, FAULT, World
from tests.support.builders import NOW, event

PAGE = pathlib.Path(__file__).parents[2] / "doc" / "source" / "user" / "rules.rst"
EXAMPLES = re.findall(
    r"   \* - ((?:vm-\d (?:fault|ok) \d+(?:, )?)+)\n     - (alarm|ok)\n", PAGE.read_text(encoding="utf-8")
)


class Cloud(World):
    """One alarm on one group with its rows, whose events are evaluated as in a transaction."""

    def __init__(self, at_least: int) -> None:
        super().__init__(
            {
                "event_type": "*",
                "query": FAULT,
                "clear": CLEAR,
                "objects": "resource_id",
                "at_least": at_least,
            }
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

    def receive(self, number: int, name: str, second: int, fault: bool) -> Reason:
        for key, timer in self.timers.items():
            self.timers[key] = dataclasses.replace(timer, event=json.loads(json.dumps(timer.event)))
        batch, timer_state = self.open()
        time = NOW + datetime.timedelta(seconds=second)
        state = "error" if fault else "active"
        body = event(state=state, resource_id=name, message_id=f"m-{number}", generated=time)
        definition = self.alarm.definition
        subject = Subject(body, self.rule.managed_object(body) or "", body.message_id, time)
        match = Match(definition.alarm_id, definition.project_id, Verdict.MATCH, subject)
        # Events are received after the time of each.
        context = EvaluationContext(batch, timer_state, self.moment(), Counter())
        reason = self.evaluation(context, match)
        self.close(batch, timer_state)
        return reason

    def edit(self, at_least: int) -> None:
        """Change the number; the next event decides, as if it came before the timers do."""
        definition = self.alarm.definition
        rule = {**definition.rule, "at_least": at_least}
        changed = dataclasses.replace(
            definition, rule=rule, version=definition.version + datetime.timedelta(seconds=1)
        )
        self.alarm = dataclasses.replace(self.alarm, definition=changed)

    def reset(self) -> None:
        """Set the state through the API."""
        self.alarm = dataclasses.replace(self.alarm, state=OK)


@dataclasses.dataclass
class Oracle:
    """The newest event of each object, as its time in seconds and whether it is a fault.

    ``evaluated_for`` is the number at the latest event.
    """

    at_least: int
    raised: bool = False
    evaluated_for: int | None = None
    newest: dict[str, tuple[int, bool]] = dataclasses.field(default_factory=dict)

    def receive(self, name: str, second: int, fault: bool) -> None:
        if name in self.newest and second < self.newest[name][0]:
            return
        self.newest[name] = (second, fault)
        enough = sum(fault for _, fault in self.newest.values()) >= self.at_least
        if enough is fault or self.evaluated_for not in (None, self.at_least):
            self.raised = enough
        self.evaluated_for = self.at_least


EVENTS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(0, 40), st.booleans()),
    max_size=20,
    unique_by=lambda one: one[:2],
)


@examples(300)
@hypothesis.given(at_least=st.integers(2, 4), events=EVENTS, order=st.randoms(use_true_random=False))
def test_the_alarm_is_raised_while_enough_objects_are_in_fault(
    at_least: int, events: list[tuple[str, int, bool]], order: Any
) -> None:
    """Fails when late events, redelivered ones, edits or a state that is set are handled wrongly."""
    cloud, oracle = Cloud(at_least), Oracle(at_least)
    arrivals = list(enumerate(events))
    order.shuffle(arrivals)
    for place, (number, one) in enumerate(arrivals):
        cloud.receive(number, *one)
        oracle.receive(*one)
        assert (cloud.alarm.state == ALARM) is oracle.raised
        repeated, again = order.choice(arrivals[: place + 1])
        before = list(cloud.transitions)
        newest = oracle.newest[again[0]] == again[1:]
        cloud.receive(repeated, *again)
        if newest:
            oracle.receive(*again)
        assert len(cloud.transitions) - len(before) <= int(newest)
        assert (cloud.alarm.state == ALARM) is oracle.raised
        kept = {t.managed_object: t.event for t in cloud.timers.values() if t.kind is TimerKind.OBJECTS}
        assert {name: state for name, (_, state) in (kept[""] or {})["objects"].items()} == {
            name: fault for name, (_, fault) in oracle.newest.items()
        }
        if order.random() < 0.1:
            oracle.at_least = order.randint(2, 4)
            cloud.edit(oracle.at_least)
        if order.random() < 0.1:
            cloud.reset()
            oracle.raised = False


def test_the_page_has_examples() -> None:
    assert {state for _, state in EXAMPLES} == {"alarm", "ok"}


@pytest.mark.parametrize(("events", "state"), EXAMPLES)
def test_an_example_of_the_page(events: str, state: str) -> None:
    cloud = Cloud(3)
    for number, words in enumerate(events.split(", ")):
        name, kind, second = words.split()
        cloud.receive(number, name, int(second), kind == "fault")
    assert (cloud.alarm.state == ALARM) is (state == "alarm")
