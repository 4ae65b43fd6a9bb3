"""Division of the matches of a batch: bounded transactions, and turns for the projects with many matches."""

from __future__ import annotations

import dataclasses
from typing import cast

from eventalarm.evaluator.batch import MODERATE, divide
from eventalarm.evaluator.evaluation import Match


@dataclasses.dataclass(frozen=True)
class One:
    """What a division looks at: the project of a match."""

    project_id: str
    number: int


def of(project: str, count: int) -> list[Match]:
    return [cast(Match, One(project, number)) for number in range(count)]


def identity(match: Match) -> tuple[str, int]:
    one = cast(One, match)
    return one.project_id, one.number


def test_a_moderate_batch_stays_as_it_is() -> None:
    matches = of("a", MODERATE - 1) + of("b", 1)
    assert divide(matches, 10_000) == ([matches], [])
    assert divide([], 10) == ([], [])
    assert divide(of("a", 5), 2) == ([of("a", 5)[:2], of("a", 5)[2:4], of("a", 5)[4:]], [])


def test_projects_with_many_matches_take_equal_turns_after_the_others() -> None:
    flood, some, few = of("flood", 3000), of("some", 900), of("few", 3)
    mixed = [*flood[:2000], *few, *some, *flood[2000:]]
    first, turns = divide(mixed, 10_000)
    assert first == [few]
    assert all(len(turn) <= MODERATE for turn in turns)
    assert turns[0] == flood[:250] + some[:250]
    for project, matches in (("flood", flood), ("some", some)):
        assert [one for turn in turns for one in turn if one.project_id == project] == matches


def test_no_transaction_is_larger_than_allowed() -> None:
    first, turns = divide(of("flood", 1200) + of("few", 3), 200)
    assert first == [of("few", 3)]
    assert [one for turn in turns for one in turn] == of("flood", 1200)
    assert max(map(len, turns)) == 200


def test_one_project_alone_takes_turns_too() -> None:
    """Matches of other projects that arrive meanwhile are settled between the turns."""
    first, turns = divide(of("a", 1200), 10_000)
    assert first == []
    assert [len(turn) for turn in turns] == [500, 500, 200]


def test_very_many_projects_still_make_progress() -> None:
    matches = [one for number in range(600) for one in of(str(number), 2)]
    _, turns = divide(matches, 10_000)
    assert sorted(identity(one) for turn in turns for one in turn) == sorted(identity(one) for one in matches)
