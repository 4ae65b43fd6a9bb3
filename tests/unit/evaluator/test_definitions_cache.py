"""The definitions cache with a source that filters exactly as the database does."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import pytest

from eventalarm.evaluator.cached_project import Need
from eventalarm.evaluator.definitions_cache import LARGE, AlarmCache
from eventalarm.evaluator.event_rule import Rule, Watch
from eventalarm.evaluator.options import CacheOptions
from eventalarm.exceptions import InvalidRule, Retryable
from eventalarm.model import AlarmDefinition, DefinitionChange
from eventalarm.storage.alarms import AlarmReader
from eventalarm.storage.change_window import ChangeWindow, Look
from tests.support.builders import NOW, PROJECT, RESOURCE_TRAITS, at, definition, event, rule

OVERLAP = 10.0
RELOAD = 600.0
ERROR = event(state="error")
BAD = {"event_type": "*", "query": [{"field": "traits.a", "type": "integer", "value": "one"}]}


class Window(ChangeWindow):
    """The changes that one read found; it may be passed to one further read."""

    def __init__(self, changes: set[DefinitionChange]) -> None:
        super().__init__()
        self.changes = changes
        self.given = False


class Source:
    """The alarm table in memory. Applies every filter; fails on request; its clock is set by the test."""

    def __init__(self) -> None:
        self.rows: dict[str, AlarmDefinition] = {}
        self.disabled: set[str] = set()
        self.seconds = 0.0
        self.calls: list[str] = []
        self.changes_read = 0
        self.failing: set[str] = set()
        self.after_reading: Callable[[], None] | None = None

    def put(self, *definitions: AlarmDefinition) -> None:
        self.rows |= {d.alarm_id: d for d in definitions}

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failing:
            raise Retryable(f"{name} failed")

    def now(self) -> datetime.datetime:
        """Not counted, since the clock is usually extrapolated without a query."""
        if "now" in self.failing:
            raise Retryable("now failed")
        return at(self.seconds)

    def monotonic(self) -> float:
        return 1000.0 + self.seconds

    def _enabled(self) -> list[AlarmDefinition]:
        return [d for d in self.rows.values() if d.alarm_id not in self.disabled and d.type == "event"]

    def changed_since(
        self, moment: datetime.datetime, looked_at: datetime.datetime, window: ChangeWindow | None
    ) -> Look:
        """Leave out all changes that may be left out."""
        assert window is None or (isinstance(window, Window) and not window.given), "given twice"
        known = window.changes if isinstance(window, Window) else set()
        if isinstance(window, Window):
            window.given = True
        self._call("changed_since")
        changes = {
            DefinitionChange(d.alarm_id, d.project_id, d.version)
            for d in self.rows.values()
            if d.version >= moment
        }
        self.changes_read = len(changes - known)
        return Look(sorted(changes - known, key=repr), Window(changes))

    def of_project(self, project_id: str) -> Iterable[AlarmDefinition]:
        self._call("of_project")
        found = [d for d in self._enabled() if d.project_id == project_id]
        if self.after_reading is not None:
            self.after_reading()
        return found

    def of_projects(
        self, project_ids: Sequence[str], limit: int
    ) -> Mapping[str, list[AlarmDefinition]] | None:
        self._call("of_projects")
        found = {one: [d for d in self._enabled() if d.project_id == one] for one in project_ids}
        return found if sum(map(len, found.values())) <= limit else None

    def crowded_projects(self, number: int) -> list[tuple[str, int]]:
        self._call("crowded_projects")
        counts = Counter(d.project_id for d in self._enabled())
        return [(project, count) for project, count in counts.most_common() if count > number]

    def has_more_than(self, project_id: str, number: int) -> bool:
        self._call("has_more_than")
        return len([d for d in self._enabled() if d.project_id == project_id]) > number

    def of_alarms(self, alarm_ids: Collection[str]) -> Iterable[AlarmDefinition]:
        self._call("of_alarms")
        return [d for d in self._enabled() if d.alarm_id in alarm_ids]


class Cached:
    """A cache with its source, and the alarms that an event finds in it."""

    def __init__(self, max_alarms: int = 1000) -> None:
        self.source = Source()
        self.bad: list[tuple[str, datetime.datetime, str]] = []
        self.cache = AlarmCache(
            cast(AlarmReader, self.source),
            CacheOptions(RESOURCE_TRAITS, OVERLAP, RELOAD, max_alarms),
            clears=lambda d: d.has_ok_actions,
            bad_rule=self._bad_rule,
            monotonic=self.source.monotonic,
        )

    def _bad_rule(self, bad: AlarmDefinition, error: InvalidRule) -> None:
        self.bad.append((bad.alarm_id, bad.version, error.field))

    def found(self, project: str = PROJECT, the_event: Any = ERROR) -> set[str]:
        """Refresh as a batch does, and return which alarms of a project an event finds."""
        self.cache.refresh()
        return {c.alarm_id for c in self.cache.project(project).candidates(the_event)}


@pytest.fixture
def cached() -> Cached:
    """A cache that holds one project with one alarm."""
    made = Cached()
    made.source.put(definition("a", rule("*", state="error")))
    assert made.found() == {"a"}
    return made


def test_an_alarm_that_was_just_created_is_found(cached: Cached) -> None:
    cached.source.seconds = 100
    cached.source.put(definition("new", rule("*", state="error"), version=100))
    assert cached.found() == {"a", "new"}


def test_only_changes_are_read(cached: Cached) -> None:
    for second in range(1, 5):
        cached.source.seconds = second * 20
        cached.source.calls.clear()
        cached.found()
        assert cached.source.calls == ["changed_since"]


@pytest.mark.parametrize("skew", [-OVERLAP, -OVERLAP / 2, 0, 3600], ids="skewed by {}".format)
def test_clocks_of_api_hosts_may_differ_within_the_overlap(cached: Cached, skew: float) -> None:
    cached.source.seconds = 100
    cached.found()
    cached.source.put(definition("skewed", rule("*", state="error"), version=100 + skew))
    assert cached.found() == {"a", "skewed"}
    # An edit by a host with the same clock skew replaces it.
    cached.source.seconds = 101
    cached.source.put(definition("skewed", rule("*", state="gone"), version=101 + skew))
    assert cached.found() == {"a"}


def test_a_clock_beyond_the_overlap_waits_for_the_full_reload(cached: Cached) -> None:
    cached.source.seconds = 100
    cached.found()
    cached.source.put(definition("lost", rule("*", state="error"), version=100 - OVERLAP - 1))
    assert cached.found() == {"a"}
    cached.source.seconds = RELOAD
    assert cached.found() == {"a", "lost"}


def test_a_row_from_the_future_is_read_once(cached: Cached) -> None:
    cached.source.put(definition("future", rule("*", state="error"), version=86400))
    assert cached.found() == {"a", "future"}
    cached.source.calls.clear()
    cached.source.seconds = 30
    assert cached.found() == {"a", "future"}
    assert cached.source.calls == ["changed_since"]


def test_a_change_is_read_once_though_every_look_reaches_back(cached: Cached) -> None:
    cached.source.put(*(definition(f"n{n}", rule("*", state="error"), version=n % 8) for n in range(80)))
    cached.source.seconds = 8
    assert len(cached.found()) == 81
    cached.source.put(definition("late", rule("*", state="error"), version=3))
    assert len(cached.found()) == 82
    assert cached.source.changes_read == 1
    cached.found()
    assert cached.source.changes_read == 0


@pytest.mark.parametrize("call", ["changed_since", "of_alarms"])
def test_a_change_that_could_not_be_applied_is_read_again(cached: Cached, call: str) -> None:
    cached.found()
    cached.source.put(definition("new", rule("*", state="error"), version=0))
    cached.source.failing = {call}
    with pytest.raises(Retryable):
        cached.cache.refresh()
    cached.source.failing = set()
    assert cached.found() == {"a", "new"}


def test_a_change_during_the_load_of_its_project_is_applied(cached: Cached) -> None:
    """The read during the load has seen the change, but the project was not cached yet."""
    source, cache = cached.source, cached.cache
    source.put(definition("b", rule("*", state="error"), project_id="project-b"))

    def change() -> None:
        source.after_reading = None
        source.put(definition("new", rule("*", state="error"), version=1, project_id="project-b"))
        cached.found()

    source.after_reading = change
    cache.load("project-b")
    assert cached.found("project-b") == {"b", "new"}


def test_a_long_pause_between_batches_misses_nothing(cached: Cached) -> None:
    cached.source.put(definition("during", rule("*", state="error"), version=200))
    cached.source.seconds = 500
    assert cached.found() == {"a", "during"}


def test_an_edited_rule_replaces_the_old_one(cached: Cached) -> None:
    cached.source.seconds = 50
    cached.source.put(definition("a", rule("*", state="deleted"), version=50))
    assert cached.found() == set()
    assert cached.found(the_event=event(state="deleted")) == {"a"}
    assert len(cached.cache) == 1


def test_a_disabled_alarm_goes_and_comes_back(cached: Cached) -> None:
    cached.source.seconds = 50
    cached.source.disabled.add("a")
    cached.source.put(definition("a", rule("*", state="error"), version=50))
    assert cached.found() == set()
    cached.source.seconds = 60
    cached.source.disabled.clear()
    cached.source.put(definition("a", rule("*", state="error"), version=60))
    assert cached.found() == {"a"}


def test_alarms_of_other_types_are_ignored(cached: Cached) -> None:
    cached.source.put(definition("a", rule("*", state="error"), version=1, type="composite"))
    assert cached.found() == set()


def test_a_deleted_alarm_stays_until_it_is_forgotten(cached: Cached) -> None:
    del cached.source.rows["a"]
    assert cached.found() == {"a"}, "the lock tells that it is gone, see the engine"
    cached.cache.forget(PROJECT, "a")
    assert cached.found() == set()
    cached.cache.forget(PROJECT, "a")
    cached.cache.forget("no such project", "a")


def test_a_deleted_alarm_goes_with_the_full_reload(cached: Cached) -> None:
    del cached.source.rows["a"]
    cached.source.seconds = RELOAD
    assert cached.found() == set()


def test_an_alarm_that_moves_is_found_in_its_new_project(cached: Cached) -> None:
    assert cached.found("project-b") == set()
    cached.source.put(definition("a", rule("*", state="error"), version=5, project_id="project-b"))
    assert cached.found("project-b") == {"a"}
    # The old project keeps it until it is locked there, which shows that it moved.
    assert cached.found(PROJECT) == {"a"}
    cached.cache.forget(PROJECT, "a")
    assert cached.found(PROJECT) == set()
    assert cached.found("project-b") == {"a"}


def test_recovery_by_itself_follows_an_edit(cached: Cached) -> None:
    active = event(state="active", resource_id="vm-1")
    the_rule = rule("*", state="error", resource_id="vm-1")
    cached.source.put(definition("a", the_rule, version=1))
    assert cached.found(the_event=active) == set()
    cached.source.put(definition("a", the_rule, version=2, has_ok_actions=True))
    assert cached.found(the_event=active) == {"a"}


def test_a_bad_rule_is_reported_once_for_each_version(cached: Cached) -> None:
    cached.source.put(
        definition("bad", BAD, version=1), definition("good", rule("*", state="error"), version=1)
    )
    for second in (1, 2, RELOAD + 1, 2 * RELOAD + 2):
        cached.source.seconds = second
        assert cached.found() == {"a", "good"}, "the others are not affected"
    assert cached.bad == [("bad", at(1), "query[0].value")]
    later = cached.source.seconds
    cached.source.put(definition("bad", BAD, version=later))
    cached.found()
    cached.found()
    assert cached.bad[1:] == [("bad", at(later), "query[0].value")]
    cached.source.put(definition("bad", rule("*", state="error"), version=later + 1))
    assert cached.found() == {"a", "good", "bad"}


def test_a_bad_rule_is_not_reported_again_when_its_project_was_dropped() -> None:
    cached = Cached(max_alarms=2)
    cached.source.put(definition("bad", BAD), definition("other", rule("*"), project_id="project-b"))
    for _ in range(3):
        cached.found(PROJECT)
        cached.found("project-b")
    assert cached.source.calls.count("of_project") == 6
    assert [b[0] for b in cached.bad] == ["bad"]


def test_memory_is_bounded_and_dropped_projects_are_loaded_again() -> None:
    cached = Cached(max_alarms=20)
    for number in range(10):
        cached.source.put(
            *(definition(f"{number}-{n}", rule("*"), project_id=f"p{number}") for n in range(5))
        )
    for _ in range(2):
        for number in range(10):
            assert cached.found(f"p{number}") == {f"{number}-{n}" for n in range(5)}
            assert len(cached.cache) <= 20
    # The projects used last are still there.
    cached.source.calls.clear()
    cached.found("p9")
    assert "of_project" not in cached.source.calls


def test_a_project_beyond_the_bound_is_still_evaluated() -> None:
    cached = Cached(max_alarms=3)
    cached.source.put(*(definition(str(n), rule("*")) for n in range(10)))
    assert len(cached.found()) == 10
    cached.source.seconds = 5
    cached.source.put(definition("11", rule("*"), version=5))
    assert len(cached.found()) == 11


def test_growing_projects_evict_others() -> None:
    cached = Cached(max_alarms=11)
    cached.source.put(definition("a", rule("*")), definition("b", rule("*"), project_id="project-b"))
    cached.found(PROJECT)
    cached.found("project-b")
    cached.source.put(*(definition(f"n{n}", rule("*"), version=1, project_id="project-b") for n in range(10)))
    cached.found("project-b")
    assert len(cached.cache) <= 11
    assert cached.found(PROJECT) == {"a"}


@pytest.mark.parametrize("call", ["changed_since", "of_alarms"])
def test_after_a_failed_look_nothing_is_missing(cached: Cached, call: str) -> None:
    cached.source.put(definition("new", rule("*", state="error"), version=50))
    cached.source.seconds = 50
    cached.source.failing = {call}
    with pytest.raises(Retryable):
        cached.cache.refresh()
    cached.source.seconds = 500
    with pytest.raises(Retryable):
        cached.cache.refresh()
    cached.source.failing = set()
    assert cached.found() == {"a", "new"}


def test_a_project_that_failed_to_load_is_not_partly_cached(cached: Cached) -> None:
    cached.source.put(definition("b", rule("*", state="error"), project_id="project-b"))
    cached.source.failing = {"of_project"}
    with pytest.raises(Retryable):
        cached.found("project-b")
    cached.source.failing = set()
    assert cached.found("project-b") == {"b"}


def test_a_failed_full_reload_keeps_the_failure_visible(cached: Cached) -> None:
    cached.source.seconds = RELOAD
    cached.source.failing = {"of_project"}
    with pytest.raises(Retryable):
        cached.found()
    cached.source.failing = set()
    assert cached.found() == {"a"}


def test_a_clock_that_cannot_be_asked_fails_the_look() -> None:
    cached = Cached()
    cached.source.failing = {"now"}
    with pytest.raises(Retryable):
        cached.cache.refresh()
    cached.source.failing = set()
    cached.source.put(definition("a", rule("*", state="error")))
    assert cached.found() == {"a"}


def watched_state(found: Watch) -> object:
    """Return the value of the only condition of *found*, which is on the state."""
    assert isinstance(found, Rule)
    return found.rest[0].value


def test_the_rule_of_a_locked_row_is_that_of_the_row(cached: Cached) -> None:
    filed = cached.source.rows["a"]
    compiled = cached.cache.rule(filed)
    assert cached.cache.rule(filed) is compiled, "compiled once"
    edited = dataclasses.replace(filed, rule=rule("*", state="other"), version=at(1))
    assert watched_state(cached.cache.rule(edited)) == "other"
    with pytest.raises(InvalidRule):
        cached.cache.rule(dataclasses.replace(filed, rule=BAD, version=at(2)))
    elsewhere = dataclasses.replace(edited, project_id="not loaded")
    assert watched_state(cached.cache.rule(elsewhere)) == "other"
    assert at(0) == NOW


def test_a_background_load_misses_no_concurrent_change(cached: Cached) -> None:
    """A change committed after the rows were read is found by the next refresh."""
    source, cache = cached.source, cached.cache
    source.seconds = RELOAD

    def change() -> None:
        source.seconds = RELOAD + 50
        source.put(definition("new", rule("*", state="error"), version=RELOAD + 5))
        cache.refresh()

    source.after_reading = change
    assert cache.need(PROJECT) is Need.RELOAD
    cache.load(PROJECT)
    assert cache.need(PROJECT) is Need.NOTHING
    source.seconds = RELOAD + 100
    assert cached.found() == {"a", "new"}


def test_a_project_that_is_being_reloaded_serves_its_old_alarms(cached: Cached) -> None:
    source = cached.source
    source.seconds = RELOAD
    served: list[set[str]] = []

    def look() -> None:
        source.after_reading = None
        source.calls.clear()
        source.put(definition("new", rule("*", state="error"), version=RELOAD))
        served.append(cached.found())

    source.after_reading = look
    cached.cache.load(PROJECT)
    assert served == [{"a", "new"}]
    assert "of_project" not in source.calls
    assert cached.found() == {"a", "new"}


def test_a_failed_load_is_retried(cached: Cached) -> None:
    cached.source.failing.add("of_project")
    with pytest.raises(Retryable):
        cached.cache.load("project-b")
    assert cached.cache.need("project-b") is Need.LOAD
    cached.source.failing.clear()
    cached.source.put(definition("b", rule("*", state="error"), project_id="project-b"))
    assert cached.found("project-b") == {"b"}


def test_unknown_projects_are_loaded_together(cached: Cached) -> None:
    """With one statement, whose alarms the next batch finds; changes since then are found too."""
    source, cache = cached.source, cached.cache
    cache.refresh()
    source.put(*(definition(f"{n}", rule("*", state="error"), project_id=f"p{n}") for n in range(3)))
    source.calls.clear()
    cache.load_together(["p0", "p1", "p2", "p3", "", PROJECT])
    assert source.calls == ["of_projects"]
    assert [cache.need(f"p{n}") for n in range(4)] == [Need.NOTHING] * 4
    source.put(definition("new", rule("*", state="error"), project_id="p3", version=0))
    assert [cached.found(f"p{n}") for n in range(4)] == [{"0"}, {"1"}, {"2"}, {"new"}]
    assert "of_project" not in source.calls
    cache.load_together(["p0", "p1"])
    assert source.calls.count("of_projects") == 1


def test_projects_with_many_alarms_are_not_loaded_together(cached: Cached) -> None:
    cached.source.put(
        *(definition(f"{n}", rule("*", state="error"), project_id="big") for n in range(LARGE)),
        definition("small", rule("*", state="error"), project_id="small"),
    )
    cached.cache.load_together(["big", "small"])
    assert [cached.cache.need(one) for one in ("big", "small")] == [Need.LOAD] * 2
    assert cached.found("small") == {"small"}
