from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pytest

from eventalarm.storage.turns import Candidate, pick, share

PLENTY = 1 << 40


def backlog(project: str, numbers: Iterable[int], size: int = 1) -> list[Candidate]:
    return [Candidate(number, project, size) for number in numbers]


def test_projects_are_picked_in_turn_each_in_its_order() -> None:
    found = backlog("a", range(100)) + backlog("b", [200, 201]) + backlog("c", [300])
    assert pick(found, 8, PLENTY) == [0, 200, 300, 1, 201, 2, 3, 4]


def test_nothing_is_picked_twice() -> None:
    assert pick(backlog("a", [1, 1, 2]), 10, PLENTY) == [1, 2]


def test_bytes_are_a_limit_too_but_one_is_always_picked() -> None:
    assert pick(backlog("a", range(9), 100), 9, 350) == [0, 1, 2]
    assert pick(backlog("a", range(9), 100), 9, 0) == [0]
    assert pick(backlog("a", range(9), 100) + backlog("b", [50]), 9, 250) == [0, 50, 1]
    assert pick([], 9, 0) == []


@pytest.mark.parametrize(
    ("counts", "wanted", "expected"),
    [
        ([], 10, 10),
        ([3], 10, 10),
        ([math.inf], 10, 10),
        ([math.inf] * 3, 10, 4),
        ([1, math.inf, 2], 10, 7),
        ([1, 2, 3], 10, 10),
        ([400] * 64, 1000, 16),
        ([1] * 100, 10, 1),
    ],
)
def test_what_few_leave_is_shared_among_the_others(
    counts: Sequence[float], wanted: int, expected: int
) -> None:
    assert share(counts, wanted) == expected
