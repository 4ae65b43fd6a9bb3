"""Division of the matches of a batch into transactions: bounded in size, and fair by project. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

# Matches that one transaction settles without a noticeable delay for others.
MODERATE: Final = 500


class OfProject(Protocol):
    """What concerns one project."""

    @property
    def project_id(self) -> str:
        """The project."""


M = TypeVar("M", bound=OfProject)


def divide(matches: Sequence[M], size: int) -> tuple[list[list[M]], list[list[M]]]:
    """Return *matches* as lists of up to *size*: those to settle at once, and those to settle by turns.

    A project's matches stay in their order. Where there are more than MODERATE, those of projects that have
    no more than their share of MODERATE are settled at once. The others take turns: each turn is an equal
    part of up to MODERATE matches in total for each project, so an event that concerns thousands of alarms
    of one project delays no other project by more than one turn.
    """
    if len(matches) <= MODERATE:
        return _chunks(matches, size), []
    counts = Counter(match.project_id for match in matches)
    share = max(1, MODERATE // len(counts))
    light = [match for match in matches if counts[match.project_id] <= share]
    heavy: dict[str, list[M]] = {}
    for match in matches:
        if counts[match.project_id] > share:
            heavy.setdefault(match.project_id, []).append(match)
    return _chunks(light, size), list(_turns(list(heavy.values()), size))


def _turns(projects: Sequence[list[M]], size: int) -> list[list[M]]:
    part = max(1, MODERATE // max(1, len(projects)))
    most = max(map(len, projects), default=0)
    turns: list[list[M]] = []
    for start in range(0, most, part):
        turn = [match for project in projects for match in project[start : start + part]]
        turns += _chunks(turn, size)
    return turns


def _chunks(matches: Sequence[M], size: int) -> list[list[M]]:
    return [list(matches[start : start + size]) for start in range(0, len(matches), size)]
