from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventalarm.delivery.lease import SPREAD, ElapsedTime, Lease, term
from eventalarm.storage.leases import RenewalWatch

SECONDS, MAX_SKEW = 30.0, 5.0


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def lease(clock: list[float]) -> Lease:
    return Lease(10.0, lambda: clock[0])


def test_a_lease_begins_before_the_database_is_queried(lease: Lease, clock: list[float]) -> None:
    assert lease.current() is None
    lease.begin("w", asked_at=100.0)
    clock[0] = 109.9
    assert lease.current() == "w"
    clock[0] = 110.0
    assert lease.current() is None
    assert not lease.holds("w")
    lease.renewed(asked_at=105.0)
    clock[0] = 114.9
    assert lease.holds("w")


def test_an_old_answer_does_not_shorten_a_lease(lease: Lease, clock: list[float]) -> None:
    lease.begin("w", 100.0)
    lease.renewed(90.0)
    clock[0] = 109.0
    assert lease.holds("w")


def test_a_delivery_leased_under_another_id_is_not_covered(lease: Lease, clock: list[float]) -> None:
    lease.begin("old", 100.0)
    lease.lost()
    clock[0] = 101.0
    assert lease.current() is None
    lease.begin("new", 101.0)
    clock[0] = 102.0
    assert not lease.holds("old")
    assert lease.holds("new")
    assert not lease.holds(None)
    assert lease.accepts("new")
    assert not lease.accepts("old")


def test_a_closed_lease_still_covers_deliveries_begun_under_it(lease: Lease, clock: list[float]) -> None:
    lease.begin("w", 100.0)
    clock[0] = 101.0
    assert lease.usable() == "w"
    assert lease.close()
    assert not lease.close()
    assert lease.usable() is None
    assert not lease.accepts("w")
    assert lease.holds("w")
    assert lease.current() == "w"


def test_after_a_failure_of_the_database_others_get_one_lease_to_come_back(
    lease: Lease, clock: list[float]
) -> None:
    assert lease.may_take_over()
    clock[0] = 100.0
    lease.database_failed()
    clock[0] = 109.9
    assert not lease.may_take_over()
    clock[0] = 110.0
    assert lease.may_take_over()


def test_others_have_the_time_of_a_lease_after_the_database_works_again(
    lease: Lease, clock: list[float]
) -> None:
    """The last failed write may be long ago by then, and others try again a moment later than this one."""
    lease.begin("w", 0.0)
    lease.database_failed()
    clock[0] = 9.0
    lease.renewed(asked_at=9.0)
    clock[0] = 18.9
    assert not lease.may_take_over()
    lease.renewed(asked_at=18.9)
    clock[0] = 19.0
    assert lease.may_take_over()


@pytest.mark.parametrize(("promised", "poll"), [(10.0, 1.0), (2.0, 0.2), (30.0, 5.0), (6.0, 1.0), (1.0, 0.1)])
def test_a_lease_renewed_right_before_death_is_found_in_time(promised: float, poll: float) -> None:
    assert promised / 2 <= term(promised, poll, 0.0) <= promised - 2 * poll * (1 + SPREAD)


def test_a_lease_is_found_in_time_also_if_clocks_may_differ() -> None:
    """The default options; half of what is promised is the least, which shortens the margin for the POST."""
    assert term(6.0, 1.0, 0.5) + 0.5 + 2 * (1 + SPREAD) < 6.0
    assert term(30.0, 1.0, 2.0) == pytest.approx(term(30.0, 1.0, 0.0) - 2.0)


def test_a_slow_poller_does_not_make_the_lease_vanish() -> None:
    assert term(1.0, 10.0, 0.5) == 0.5


def test_elapsed_time_is_the_larger_advance_of_two_clocks() -> None:
    steady, wall_clock = [100.0], [5000.0]
    elapsed = ElapsedTime(lambda: steady[0], lambda: wall_clock[0])
    assert elapsed() == 100.0
    steady[0], wall_clock[0] = 101.0, 5001.2
    assert elapsed() == 101.0, "the clock is corrected a little"
    steady[0], wall_clock[0] = 102.0, 5062.2
    assert elapsed() == 162.0, "the machine was paused for a minute, and its clock set"
    steady[0], wall_clock[0] = 103.0, 4000.0
    assert elapsed() == 163.0, "set back"


@given(
    # When the holder renews, when its clock begins to stand still, and when others look.
    renewals=st.sets(st.integers(0, 100)),
    still=st.integers(0, 100),
    looks=st.sets(st.integers(0, 200), min_size=100),
)
def test_a_holder_whose_clock_was_slow_stops_before_others_take_over(
    renewals: set[int], still: int, looks: set[int]
) -> None:
    """Fails if a lease lasts as long for its holder as for others."""
    elapsed = [0.0]
    lease = Lease(SECONDS, lambda: elapsed[0], max_skew=MAX_SKEW)
    lease.begin("holder", 0.0)
    watch = RenewalWatch(lease.seconds_for_others, lease.seconds_for_others)
    number = 0
    for second in range(200):
        if not still <= second < still + MAX_SKEW:
            elapsed[0] += 1.0
        if second in renewals and lease.holds("holder"):
            number += 1
            lease.renewed(elapsed[0])
        if second in looks and watch.look({"holder": number}, float(second)):
            assert not lease.holds("holder")
            return
