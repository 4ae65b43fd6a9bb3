"""Leases judged by renewals alone."""

import pytest

from eventalarm.storage.leases import RenewalWatch


@pytest.fixture
def watch() -> RenewalWatch:
    return RenewalWatch(3.0, 1.5)


def test_a_lease_ends_when_it_was_seen_standing_still_for_as_long(watch: RenewalWatch) -> None:
    assert watch.look({"a": 4, "b": 1}, 100.0) == {}
    assert watch.look({"a": 4, "b": 2}, 101.0) == {}
    assert watch.look({"a": 4, "b": 2}, 102.0) == {}
    assert watch.look({"a": 4, "b": 2}, 103.0) == {"a": 4}
    assert watch.look({"a": 5, "b": 2}, 104.0) == {"b": 2}, "a came back"


def test_a_new_lease_is_observed_from_its_first_sighting(watch: RenewalWatch) -> None:
    watch.look({"a": 1}, 100.0)
    for now in (101.0, 102.0):
        watch.look({"a": 1, "new": 0}, now)
    assert watch.look({"a": 1, "new": 0}, 103.0) == {"a": 1}
    watch.look({}, 104.0)
    assert watch.look({"new": 0}, 104.5) == {}, "gone and there again"


def test_time_without_observation_does_not_count_as_silence(watch: RenewalWatch) -> None:
    """A watcher that was stopped, or cut off from the database with the others, gives them time."""
    watch.look({"a": 1}, 100.0)
    assert watch.look({"a": 1}, 1000.0) == {}
    assert watch.look({"a": 1}, 1001.0) == {}
    assert watch.look({"a": 1}, 1001.5) == {"a": 1}


def test_a_renewal_just_before_a_late_answer_counts_in_full(watch: RenewalWatch) -> None:
    """Fails if a process whose lease is valid by its own clock looks dead because a read took a second."""
    watch.look({"a": 1}, 100.0, answered_at=101.0)
    for now in (101.5, 103.0):
        watch.look({"a": 1}, now)
    assert watch.look({"a": 1}, 103.5) == {}, "2.5 seconds after it may have been renewed"
    assert watch.look({"a": 1}, 104.0) == {"a": 1}


def test_a_clock_that_goes_back_counts_as_no_time(watch: RenewalWatch) -> None:
    watch.look({"a": 1}, 100.0)
    assert watch.look({"a": 1}, 50.0) == {}
    assert watch.look({"a": 1}, 51.5) == {}
    assert watch.look({"a": 1}, 53.0) == {"a": 1}


def test_each_lease_lasts_as_long_as_its_holder_stored(watch: RenewalWatch) -> None:
    """Fails when a process judges the others by its own option."""
    lasting = {"long": 60.0, "short": 1.0, "unknown": None}
    numbers = dict.fromkeys(lasting, 7)
    watch.look(numbers, 100.0, lasting)
    assert watch.look(numbers, 101.0, lasting) == {"short": 7}
    assert watch.look(numbers, 102.0, lasting) == {"short": 7}
    assert watch.look(numbers, 103.0, lasting) == {"short": 7, "unknown": 7}
    for second in range(60):
        ended = watch.look({"long": 7}, 104.0 + second, {"long": 60.0})
    assert ended == {"long": 7}
