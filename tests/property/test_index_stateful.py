"""However alarms come, change and go, the index answers as a scan of all of them would."""

from __future__ import annotations

from typing import Any

from hypothesis import stateful
from hypothesis import strategies as st

from eventalarm.evaluator.index import Filing, ProjectIndex
from eventalarm.evaluator.query import Rule, Verdict, compile_rule
from tests.builders import RESOURCE_TRAITS, condition, event
from tests.property import examples

TYPES = ["a", "a.b", "a.c", "b"]
VALUES = st.sampled_from(["x", "y", "z"])
CONDITIONS = st.one_of(
    st.builds(condition, st.sampled_from(["resource_id", "host", "state", "kind"]), VALUES),
    st.builds(condition, st.sampled_from(["state", "kind"]), VALUES, st.just("ne")),
    st.builds(condition, st.just("count"), st.integers(0, 2), st.sampled_from(["eq", "ge"])),
    st.builds(condition, st.just("count"), st.sampled_from([0.0, 1.0]), st.just("eq")),
    st.builds(condition, st.just("flag"), st.booleans()),
    st.builds(condition, st.just("raw.flag"), VALUES),
)
RULES = st.builds(
    lambda event_type, query: compile_rule({"event_type": event_type, "query": query}, RESOURCE_TRAITS),
    st.sampled_from([*TYPES, "*", "a.*", "a.?", "[!a]*"]),
    st.lists(CONDITIONS, max_size=3),
)
ALARM_IDS = st.integers(0, 60).map(str)
TRAITS = st.fixed_dictionaries(
    {},
    optional={
        "resource_id": VALUES,
        "host": VALUES,
        "state": VALUES,
        "kind": VALUES,
        "count": st.sampled_from([0, 1, 2, 1.0]),
        "flag": st.sampled_from(["true", "false", "maybe"]),
    },
)


def scan(filed: dict[str, tuple[Rule, bool, Filing]], the_event: Any) -> dict[str, Verdict]:
    """Ask every alarm."""
    answers: dict[str, Verdict] = {}
    for alarm_id, (rule, clears, _) in filed.items():
        if rule.watches(the_event.event_type):
            verdict = rule.verdict(the_event)
            if verdict is Verdict.MATCH or (clears and verdict is Verdict.RECOVERED):
                answers[alarm_id] = verdict
    return answers


class IndexMachine(stateful.RuleBasedStateMachine):
    """One writer; after every step any event may be asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.index = ProjectIndex()
        self.filed: dict[str, tuple[Rule, bool, Filing]] = {}

    def _put(self, alarm_id: str, rule: Rule, clears: bool) -> None:
        self._take_away(alarm_id)
        self.filed[alarm_id] = (rule, clears, self.index.add(alarm_id, rule, clears))

    def _take_away(self, alarm_id: str) -> None:
        if alarm_id in self.filed:
            rule, clears, anchor = self.filed.pop(alarm_id)
            self.index.discard(alarm_id, rule, clears, anchor)

    @stateful.rule(alarm_id=ALARM_IDS, rule=RULES, clears=st.booleans())
    def file_or_change(self, alarm_id: str, rule: Rule, clears: bool) -> None:
        self._put(alarm_id, rule, clears)

    @stateful.rule(rule=RULES, clears=st.booleans())
    def file_many_alike(self, rule: Rule, clears: bool) -> None:
        for number in range(40):
            self._put(str(number), rule, clears)

    @stateful.rule(alarm_id=ALARM_IDS)
    def remove(self, alarm_id: str) -> None:
        self._take_away(alarm_id)

    @stateful.rule(event_type=st.sampled_from(TYPES), traits=TRAITS)
    def ask(self, event_type: str, traits: dict[str, Any]) -> None:
        the_event = event(event_type, raw={"flag": "x"}, **traits)
        candidates = self.index.candidates(the_event)
        found = {c.alarm_id: c.verdict for c in candidates}
        assert len(found) == len(candidates), "an alarm was found twice"
        assert found == scan(self.filed, the_event)

    def teardown(self) -> None:
        for alarm_id in list(self.filed):
            self._take_away(alarm_id)
        assert not self.index._by_trait
        assert not self.index._by_type
        assert not self.index._by_pattern


TestIndex = IndexMachine.TestCase
TestIndex.settings = examples(60, stateful_step_count=30)
