"""However alarms come, change and go, the index answers as a scan of all of them would."""

from __future__ import annotations

from typing import Any

import hypothesis
from hypothesis import reject, stateful
from hypothesis import strategies as st

from eventalarm.evaluator.event_rule import Verdict, Watch, compile_rule
from eventalarm.evaluator.index import FiledUnder, ProjectIndex
from eventalarm.evaluator.notification_rule import compile_notification, parse
from eventalarm.exceptions import InvalidRule
from tests.property import examples
from tests.support.builders import RESOURCE_TRAITS, condition, event

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
PATTERNS = st.sampled_from([*TYPES, "*", "a.*", "a.?", "[!a]*"])
STOCK_RULES = st.builds(
    lambda event_type, query: compile_rule({"event_type": event_type, "query": query}, RESOURCE_TRAITS),
    PATTERNS,
    st.lists(CONDITIONS, max_size=3),
)
LISTS = st.builds(
    lambda name, values, op: {"field": f"traits.{name}", "op": op, "value": values},
    st.sampled_from(["host", "state", "kind"]),
    st.lists(VALUES, min_size=1, max_size=3),
    st.sampled_from(["in", "in", "not_in"]),
)
QUERIES = st.recursive(
    st.one_of(CONDITIONS, LISTS, LISTS),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3),
        st.builds(lambda parts: {"and": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"or": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=6,
)
HALVES = st.fixed_dictionaries({}, optional={"event_type": PATTERNS, "query": QUERIES})
NOTIFICATION_RULES = st.fixed_dictionaries(
    {"event_type": st.one_of(PATTERNS, st.lists(PATTERNS, min_size=1, max_size=3)), "query": QUERIES},
    optional={
        "clear": HALVES.filter(bool),
        "resource_id": VALUES,
        "group_by": st.sampled_from(["host", ["kind", "state"]]),
        "absence": st.just({"after": 5}),
    },
)


@st.composite
def notification_rules(draw: st.DrawFn) -> Watch:
    """A rule that is accepted, compiled as the evaluator does."""
    try:
        return compile_notification(parse(draw(NOTIFICATION_RULES)), RESOURCE_TRAITS)
    except InvalidRule as exc:
        # A clear that asks for what raises, or stands beside absence: refused, as other tests show.
        if not exc.field.startswith("clear"):
            raise
        reject()


RULES: st.SearchStrategy[Watch] = st.one_of(STOCK_RULES, notification_rules())
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


def scan(filed: dict[str, tuple[Watch, bool, FiledUnder]], the_event: Any) -> dict[str, Verdict]:
    """Ask every alarm."""
    answers: dict[str, Verdict] = {}
    for alarm_id, (rule, clears, _) in filed.items():
        if rule.watches(the_event.event_type):
            verdict = rule.verdict(the_event)
            if verdict is Verdict.MATCH or (clears and verdict is Verdict.RECOVERED):
                answers[alarm_id] = verdict
    return answers


@hypothesis.given(
    st.lists(st.tuples(notification_rules(), st.booleans()), min_size=1, max_size=6),
    st.lists(st.tuples(st.sampled_from(TYPES), TRAITS), min_size=1, max_size=4),
)
@examples(150)
def test_notification_rules_are_found_as_a_scan_would(
    rules: list[tuple[Watch, bool]], events: list[tuple[str, dict[str, Any]]]
) -> None:
    index = ProjectIndex()
    filed = {
        str(n): (rule, clears, index.add(str(n), rule, clears)) for n, (rule, clears) in enumerate(rules)
    }
    for event_type, traits in events:
        the_event = event(event_type, raw={"flag": "x"}, **traits)
        found = index.candidates(the_event)
        assert len({c.alarm_id for c in found}) == len(found), "an alarm was found twice"
        assert {c.alarm_id: c.verdict for c in found} == scan(filed, the_event)


class IndexMachine(stateful.RuleBasedStateMachine):
    """One writer; after every step any event may be asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.index = ProjectIndex()
        self.filed: dict[str, tuple[Watch, bool, FiledUnder]] = {}

    def _put(self, alarm_id: str, rule: Watch, clears: bool) -> None:
        self._take_away(alarm_id)
        self.filed[alarm_id] = (rule, clears, self.index.add(alarm_id, rule, clears))

    def _take_away(self, alarm_id: str) -> None:
        if alarm_id in self.filed:
            rule, clears, anchor = self.filed.pop(alarm_id)
            self.index.discard(alarm_id, rule, clears, anchor)

    @stateful.rule(alarm_id=ALARM_IDS, rule=RULES, clears=st.booleans())
    def file_or_change(self, alarm_id: str, rule: Watch, clears: bool) -> None:
        self._put(alarm_id, rule, clears)

    @stateful.rule(rule=RULES, clears=st.booleans())
    def file_many_alike(self, rule: Watch, clears: bool) -> None:
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
        assert not self.index._by_object
        assert self.index.scanned == 0


TestIndex = IndexMachine.TestCase
TestIndex.settings = examples(60, stateful_step_count=30)
