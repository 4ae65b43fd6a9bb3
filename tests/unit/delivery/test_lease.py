import pytest

from eventalarm.delivery.lease import SPREAD, ElapsedTime, Lease, term


def test_a_lease_counts_from_before_the_database_was_asked():
    lease = Lease(10.0)
    assert lease.current(0.0) is None
    lease.begin("w", asked_at=100.0)
    assert lease.current(109.9) == "w"
    assert lease.current(110.0) is None
    assert not lease.holds("w", 110.0)
    lease.renewed(asked_at=105.0)
    assert lease.holds("w", 114.9)


def test_an_old_answer_does_not_shorten_it():
    lease = Lease(10.0)
    lease.begin("w", 100.0)
    lease.renewed(90.0)
    assert lease.holds("w", 109.0)


def test_what_was_leased_under_another_id_is_not_ours():
    lease = Lease(10.0)
    lease.begin("old", 100.0)
    lease.lost()
    assert lease.current(101.0) is None
    lease.begin("new", 101.0)
    assert not lease.holds("old", 102.0)
    assert lease.holds("new", 102.0)
    assert not lease.holds(None, 102.0)


def test_after_trouble_others_get_one_lease_to_come_back():
    lease = Lease(10.0)
    assert lease.may_take_over(0.0)
    lease.troubled(100.0)
    assert not lease.may_take_over(109.9)
    assert lease.may_take_over(110.0)


@pytest.mark.parametrize(("promised", "poll"), [(10.0, 1.0), (2.0, 0.2), (30.0, 5.0), (6.0, 1.0), (1.0, 0.1)])
def test_a_lease_renewed_right_before_death_is_found_within_the_promise(promised, poll):
    assert promised / 2 <= term(promised, poll) <= promised - 2 * poll * (1 + SPREAD)


def test_a_slow_poller_does_not_make_the_lease_vanish():
    assert term(1.0, 10.0) == 0.5


def test_elapsed_time_is_what_any_clock_says():
    steady, wall = [100.0], [5000.0]
    elapsed = ElapsedTime(lambda: steady[0], lambda: wall[0])
    assert elapsed() == 100.0
    steady[0], wall[0] = 101.0, 5001.2
    assert elapsed() == 101.0, "the clock is corrected a little"
    steady[0], wall[0] = 102.0, 5062.2
    assert elapsed() == 162.0, "the machine was paused for a minute, and its clock set"
    steady[0], wall[0] = 103.0, 4000.0
    assert elapsed() == 163.0, "set back"
