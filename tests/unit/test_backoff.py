"""The waits between retries."""

from __future__ import annotations

import random

import pytest

from eventalarm.backoff import FULL_JITTER, Backoff


def longest(low: float, high: float) -> float:
    return high


def shortest(low: float, high: float) -> float:
    return low


@pytest.mark.parametrize(
    ("failures", "wait"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 3.0), (5, 3.0), (5000, 3.0)]
)
def test_the_wait_doubles_up_to_the_longest(failures: int, wait: float) -> None:
    assert Backoff(0.5, 3.0, longest)(failures) == wait


@pytest.mark.parametrize(("jitter", "wait"), [(0.0, 2.0), (0.5, 1.0), (1.0, 0.0)])
def test_jitter_takes_off_up_to_its_share(jitter: float, wait: float) -> None:
    assert Backoff(0.5, 60.0, shortest, jitter=jitter)(3) == wait


def test_full_jitter_spreads_over_the_whole_wait() -> None:
    waits = [Backoff(0.5, 60.0, random.Random(n).uniform, jitter=FULL_JITTER)(3) for n in range(200)]
    assert min(waits) < 0.2
    assert 1.8 < max(waits) <= 2.0


def test_without_a_wait_nothing_is_drawn() -> None:
    assert Backoff(0.0, 0.0)(7) == 0.0
