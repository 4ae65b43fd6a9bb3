"""The definitions cache: loading of projects, failures of the database, and bounded memory."""

from __future__ import annotations

import pytest

from eventalarm.evaluator.cached_project import Need
from eventalarm.evaluator.definitions_cache import LARGE
from eventalarm.exceptions import Retryable
from tests.support.builders import PROJECT, definition, rule
from tests.support.definitions_cache import RELOAD, Cached


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


def test_large_projects_are_not_loaded_together(cached: Cached) -> None:
    cached.source.put(
        *(definition(f"{n}", rule("*", state="error"), project_id="big") for n in range(LARGE + 1)),
        definition("small", rule("*", state="error"), project_id="small"),
    )
    cached.cache.load_together(["big", "small"])
    assert [cached.cache.need(one) for one in ("big", "small")] == [Need.LOAD, Need.NOTHING]
    assert cached.found("small") == {"small"}
