"""The database's clock between readings, and what a step of it does."""

import datetime
import itertools
import math
import time

import pytest

from eventalarm.model import UTC
from eventalarm.storage.clock import DatabaseClock

T0 = datetime.datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def at(seconds: float) -> datetime.datetime:
    return T0 + datetime.timedelta(seconds=seconds)


class Timed:
    """A clock whose readings are right but for ``step`` seconds, and take ``takes``."""

    def __init__(self) -> None:
        self.elapsed, self.step, self.takes = 1000.0, 0.0, 0.0
        self.clock = DatabaseClock(lambda: self.elapsed)

    def read(self, takes: float = 0.0) -> None:
        asked_at = self.elapsed
        said = at(self.elapsed - 1000.0 + self.step)
        self.elapsed += takes
        self.clock.observe(said, asked_at)


@pytest.fixture
def timed() -> Timed:
    return Timed()


def test_nothing_is_known_before_the_first_reading(timed: Timed) -> None:
    clock = timed.clock
    assert (clock.now(), clock.earliest(60.0), clock.age(), clock.host_offset()) == (None,) * 4


def test_the_clock_is_extrapolated_and_never_ahead(timed: Timed) -> None:
    timed.read(takes=2.0)
    assert timed.clock.now() == at(0.0)
    timed.elapsed += 5.0
    assert (timed.clock.now(), timed.clock.age()) == (at(5.0), 5.0)
    timed.read(takes=0.0)
    assert timed.clock.now() == at(7.0), "a quick answer says it better"
    timed.read(takes=10.0)
    assert timed.clock.now() == at(17.0), "a slow one takes nothing back"
    assert timed.clock.jumps == 0


@pytest.mark.parametrize("step", [-30.0, 30.0])
def test_a_clock_step_applies_at_once_with_a_longer_look_back(timed: Timed, step: float) -> None:
    timed.read()
    timed.step = step
    timed.elapsed += 1.0
    timed.read(takes=0.01)
    present = timed.clock.now()
    assert present is not None
    assert abs((present - at(1.0 + step)).total_seconds()) < 0.1
    assert timed.clock.jumps == 1
    earliest = timed.clock.earliest(within=60.0)
    assert earliest is not None
    assert abs((earliest - at(1.0 + min(0.0, step))).total_seconds()) < 0.1
    timed.elapsed += 61.0
    assert timed.clock.earliest(within=60.0) == timed.clock.now()


def test_a_truncated_reading_takes_nothing_back() -> None:
    """Fails without the resolution: the estimate goes back by up to a millisecond."""
    elapsed = 1000.0
    clock = DatabaseClock(lambda: elapsed, resolution=0.001)
    shown: list[datetime.datetime] = []
    for _ in range(200):
        elapsed += 0.0137
        clock.observe(at(math.floor((elapsed - 1000.0) * 1000) / 1000), elapsed)
        shown.append(clock.now() or T0)
    ahead = [b - a for a, b in itertools.pairwise(shown)]
    assert min(ahead) >= datetime.timedelta(seconds=0.0136)


def test_drift_is_not_a_clock_step(timed: Timed) -> None:
    timed.read()
    for _ in range(1000):
        timed.elapsed += 1.0
        timed.step += 0.001
        timed.read()
    assert timed.clock.now() == at(1001.0)
    assert timed.clock.jumps == 0


def test_the_offset_of_this_host_is_measured() -> None:
    clock = DatabaseClock()
    clock.observe(datetime.datetime.fromtimestamp(time.time() - 30.0, UTC), time.monotonic())
    offset = clock.host_offset()
    assert offset is not None
    assert abs(offset - 30.0) < 1.0


def test_it_counts_for_a_while_that_the_clock_was_set_back(timed: Timed) -> None:
    timed.read()
    assert timed.clock.set_back(60.0) == 0.0
    for step, expected in ((30.0, 0.0), (-10.0, 40.0), (5.0, 25.0)):
        timed.step = step
        timed.elapsed += 1.0
        timed.read()
        assert timed.clock.set_back(60.0) == pytest.approx(expected)
    timed.elapsed += 60.0
    assert timed.clock.set_back(60.0) == 0.0
