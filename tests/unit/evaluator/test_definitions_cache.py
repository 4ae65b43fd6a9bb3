"""The definitions cache: every change of a definition is found, and read once (G3)."""

from __future__ import annotations

import dataclasses

import pytest

from eventalarm.evaluator.event_rule import Rule, Watch
from eventalarm.exceptions import InvalidRule, Retryable
from tests.support.builders import NOW, PROJECT, at, definition, event, rule
from tests.support.definitions_cache import BAD, OVERLAP, RELOAD, Cached


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
