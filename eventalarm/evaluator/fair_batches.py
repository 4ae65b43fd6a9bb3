"""How the matches of a batch are divided into transactions: bounded, a flood of one project last. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

# Matches that one transaction settles without anybody waiting for it noticeably.
MODERATE: Final = 500


class OfProject(Protocol):
    """What concerns one project."""

    @property
    def project_id(self) -> str:
        """The project."""


M = TypeVar("M", bound=OfProject)


def portions(matches: list[M], size: int) -> list[list[M]]:
    """Return *matches* in portions of up to *size*, in the order in which they are to be settled.

    A project's matches stay in their order. Where they are many, those of projects that have no more than
    their share of MODERATE come first, in a transaction of their own: an event that concerns thousands of
    alarms of one project does not hold up the others of its batch.
    """
    if len(matches) > MODERATE:
        counts = Counter(match.project_id for match in matches)
        share = max(1, MODERATE // len(counts))
        light = [match for match in matches if counts[match.project_id] <= share]
        heavy = [match for match in matches if counts[match.project_id] > share]
        heavy.sort(key=lambda match: counts[match.project_id])
        return [*_chunks(light, size), *_chunks(heavy, size)]
    return _chunks(matches, size)


def _chunks(matches: Sequence[M], size: int) -> list[list[M]]:
    return [list(matches[start : start + size]) for start in range(0, len(matches), size)]
