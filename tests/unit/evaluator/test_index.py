"""The content index: the keys of alarms, the alarms that an event finds, and concurrent readers."""

from __future__ import annotations

import datetime
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm.evaluator import index as index_module
from eventalarm.evaluator.event_rule import Anchor, Verdict, compile_rule
from eventalarm.evaluator.index import FiledUnder, ProjectIndex
from eventalarm.model import Event
from tests.support.builders import RESOURCE_TRAITS, condition, event, rule


def file(index: ProjectIndex, alarm_id: str, the_rule: Any, clears: bool = False) -> FiledUnder:
    return index.add(alarm_id, compile_rule(the_rule, RESOURCE_TRAITS), clears)


def found(index: ProjectIndex, the_event: Event) -> dict[str, Verdict]:
    candidates = index.candidates(the_event)
    assert len({c.alarm_id for c in candidates}) == len(candidates)
    return {c.alarm_id: c.verdict for c in candidates}


@pytest.mark.parametrize(
    ("the_rule", "clears", "trait", "key"),
    [
        # The resource first: it is what differs most between alarms.
        (rule("*", state="error", resource_id="vm-1"), False, "resource_id", "vm-1"),
        (rule("*", resource_id="vm-1", state="error"), True, "resource_id", "vm-1"),
        # Else any equality on a trait.
        (rule("*", condition("count", 1, "gt"), state="error"), False, "state", "error"),
        (rule("*", count=5), False, "count", 5),
        # An alarm that clears must be found by the clearing event, which has another state.
        (rule("a.b", state="error"), True, "", "a.b"),
        # Only an equality on a trait is an anchor.
        (rule("a.b", condition("state", "x", "ne")), False, "", "a.b"),
        (rule("a.b", condition("raw.state", "x")), False, "", "a.b"),
        (rule("a.b", condition("state", "yes", "eq", "boolean")), False, "", "a.b"),
        (rule("a.*"), False, "", "a.*"),
    ],
)
def test_anchor(the_rule: Any, clears: bool, trait: str, key: Any) -> None:
    assert file(ProjectIndex(), "a", the_rule, clears) == Anchor(trait, key)


def test_the_least_crowded_equality_is_chosen() -> None:
    index = ProjectIndex()
    for number in range(3):
        file(index, f"crowd-{number}", rule(f"type.{number}", resource_id="shared"))
    assert file(index, "a", rule("*", resource_id="shared", state="rare")) == Anchor("state", "rare")
    assert file(index, "b", rule("*", resource_id="own", state="rare")) == Anchor("resource_id", "own")


def test_equal_rules_are_tested_once(monkeypatch: pytest.MonkeyPatch) -> None:
    index = ProjectIndex()
    for number in range(100):
        file(index, str(number), rule("*", condition("count", 1, "gt"), state="error"))
    tested = []
    verdict_of_group = index_module.Group.verdict

    def verdict(group: index_module.Group, the_event: Event, now: datetime.datetime) -> Verdict:
        tested.append(group)
        return verdict_of_group(group, the_event, now)

    monkeypatch.setattr(index_module.Group, "verdict", verdict)
    assert len(found(index, event(state="error", count=2))) == 100
    assert len(tested) == 1


@pytest.mark.parametrize("members", [1, 2, 16, 17, 40])
def test_groups_of_any_size_can_be_emptied(members: int) -> None:
    index = ProjectIndex()
    filed = {str(n): file(index, str(n), rule("*", state="error")) for n in range(members)}
    compiled = compile_rule(rule("*", state="error"), RESOURCE_TRAITS)
    the_event = event(state="error")
    for alarm_id, anchor in filed.items():
        assert alarm_id in found(index, the_event)
        index.discard(alarm_id, compiled, False, anchor)
        assert alarm_id not in found(index, the_event)
    assert index._by_trait == {}, "nothing is left of what is gone"


def test_different_rules_under_one_key() -> None:
    index = ProjectIndex()
    rules = {str(n): rule("*", condition("count", n, "ge"), state="error") for n in range(5)}
    filed = {alarm_id: file(index, alarm_id, the_rule) for alarm_id, the_rule in rules.items()}
    clearing = file(index, "clearing", rule("*", condition("state", "error"), resource_id="vm"), True)
    assert set(found(index, event(state="error", count=2))) == {"0", "1", "2"}
    assert found(index, event(state="active", resource_id="vm")) == {"clearing": Verdict.RECOVERED}
    for alarm_id, the_rule in rules.items():
        index.discard(alarm_id, compile_rule(the_rule, RESOURCE_TRAITS), False, filed[alarm_id])
    assert found(index, event(state="error", count=2)) == {}
    watching = rule("*", condition("state", "error"), resource_id="vm")
    index.discard("clearing", compile_rule(watching, RESOURCE_TRAITS), True, clearing)
    assert index._by_trait == {}, "nothing is left of what is gone"


def test_an_alarm_that_never_clears_receives_no_recovery() -> None:
    index = ProjectIndex()
    the_rule = rule("*", state="error", resource_id="vm-1")
    file(index, "latched", the_rule, False)
    file(index, "clearing", the_rule, True)
    assert found(index, event(resource_id="vm-1", state="error")) == dict.fromkeys(
        ("latched", "clearing"), Verdict.MATCH
    )
    assert found(index, event(resource_id="vm-1", state="active")) == {"clearing": Verdict.RECOVERED}
    assert found(index, event(resource_id="vm-2", state="active")) == {}


def test_patterns_are_resolved_once_for_each_event_type(monkeypatch: pytest.MonkeyPatch) -> None:
    index = ProjectIndex()
    for number in range(50):
        file(index, str(number), rule(f"service{number}.*"))
    assert set(found(index, event("service7.up"))) == {"7"}
    looked = []
    keys = index_module.Table.keys

    def noted(table: Any) -> Any:
        looked.append(table)
        return keys(table)

    monkeypatch.setattr(index_module.Table, "keys", noted)
    assert set(found(index, event("service7.up"))) == {"7"}
    assert looked == []
    # A new pattern is seen at once by types that were resolved before; so is one that went.
    anchor = file(index, "new", rule("*.up"))
    assert set(found(index, event("service7.up"))) == {"7", "new"}
    index.discard("new", compile_rule(rule("*.up"), RESOURCE_TRAITS), False, anchor)
    assert set(found(index, event("service7.up"))) == {"7"}


def test_resolved_types_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "RESOLVED_LIMIT", 10)
    index = ProjectIndex()
    file(index, "a", rule("*"))
    for number in range(100):
        assert set(found(index, event(f"type.{number}"))) == {"a"}
        assert len(index._resolved) <= 10


def test_a_pattern_filed_while_a_reader_resolves_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader reads the patterns before, and caches them after, the writer adds one."""
    monkeypatch.setattr(index_module, "RESOLVED_LIMIT", 1)
    index = ProjectIndex()
    file(index, "a", rule("a.*"))
    found(index, event("fill.the.memory"))
    keys = index_module.Table.keys

    def keys_then_write(table: index_module.Table) -> list[object]:
        monkeypatch.setattr(index_module.Table, "keys", keys)
        before = table.keys()
        file(index, "late", rule("*.b"))
        return before

    monkeypatch.setattr(index_module.Table, "keys", keys_then_write)
    found(index, event("a.b"))
    assert set(found(index, event("a.b"))) == {"a", "late"}


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Let threads switch as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_switching")
def test_readers_beside_a_writer_see_every_alarm_that_stays() -> None:
    index = ProjectIndex()
    steady = [
        rule("compute.*"),
        rule("compute.instance.update"),
        rule("*", state="error"),
        rule("*", condition("count", 0, "ge"), state="error"),
        rule("*", resource_id="vm-1"),
    ]
    for number, the_rule in enumerate(steady):
        file(index, f"steady-{number}", the_rule)
    coming_and_going = [
        *steady,
        rule("*.update"),
        rule("*", condition("count", 1, "ge"), state="error"),
        rule("*", host="h"),
        rule("*", condition("state", "error"), resource_id="vm-1"),
    ]
    compiled = [compile_rule(r, RESOURCE_TRAITS) for r in coming_and_going]
    writing = threading.Event()
    writing.set()
    problems: list[object] = []

    def read() -> None:
        try:
            while writing.is_set():
                the_event = event(resource_id="vm-1", state="error", count=1, host="h")
                seen = [c.alarm_id for c in index.candidates(the_event)]
                if len(seen) != len(set(seen)) or not {f"steady-{n}" for n in range(5)} <= set(seen):
                    problems.append(seen)
        except Exception as exc:  # noqa: BLE001 - what a reader meets is the result of the test
            problems.append(exc)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(40):
        # Enough alike that groups outgrow their tuples and shrink again.
        filed = [(index.add(f"guest-{turn}-{n}", r, n % 2 == 0), r, n) for n, r in enumerate(compiled * 40)]
        for anchor, r, n in filed:
            index.discard(f"guest-{turn}-{n}", r, n % 2 == 0, anchor)
    writing.clear()
    for reader in readers:
        reader.join()
    assert problems == []
    assert set(found(index, event(resource_id="vm-1", state="error", count=1, host="h"))) == {
        f"steady-{n}" for n in range(5)
    }
