"""The context of a scenario: the options, progress lines, and arenas to measure in."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.arena import Arena
from benchmarks.ground import Ground
from benchmarks.measurement import Measurement
from benchmarks.options import Options
from eventalarm.trial.own_cloud.progress import Progress

# Longer than anything that works takes; a contender that needs more has failed.
TIMEOUT = 600.0


@dataclass(frozen=True)
class Context:
    """One run of the benchmarks; ``directory`` is for logs and is removed at the end.

    ``passed_over`` are the names of the cases that ``--only`` has excluded so far.
    """

    options: Options
    progress: Progress
    ground: Ground
    directory: pathlib.Path
    passed_over: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def wants(self, case: str) -> bool:
        """Return True if *case* is to be measured."""
        wanted = self.options.only in case
        if not wanted:
            self.passed_over.append(case)
        return wanted

    @property
    def distances(self) -> tuple[float | None, ...]:
        """The milliseconds to the database to measure at; None if no distance is given."""
        return self.options.db_rtt or (None,)

    def arena(self, destinations: int = 1, *, distance: float | None = None, **settings: Any) -> Arena:
        """Return a fresh arena, a context manager; *settings* are eventalarm's, beside ``workers``.

        *distance* is the round trip of the contenders to the database, in milliseconds.
        """
        directory = self.directory / f"arena-{next(self._numbers)}"
        return Arena(
            self.ground, self.options, self.progress, directory, destinations, settings, distance=distance
        )


def at(case: str, distance: float | None) -> str:
    """Return the name of *case* with the database at *distance* milliseconds, if a distance is given."""
    return case if distance is None else f"{case}, database {distance:g} ms away"


Scenario = Callable[[Context], Iterator[Measurement]]
