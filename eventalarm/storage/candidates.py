"""Reads which deliveries a process may lease now, in one round trip where the database is far away."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import sqlalchemy as sa

from eventalarm.storage import orphans, pending_projects, project_heads
from eventalarm.storage.attempts import size_for
from eventalarm.storage.claims import NOW, Place
from eventalarm.storage.database import Database
from eventalarm.storage.leases import LEASES, SeenLeases, read_leases, remove_workers
from eventalarm.storage.one_trip import read_in_one_trip
from eventalarm.storage.operational_events import add_lost
from eventalarm.storage.project_heads import MYSQL, Part
from eventalarm.storage.turns import Candidate, share

# MySQL and MariaDB are asked for so many projects at first: each is a statement of its own.
FIRST: Final = 4

CLOCK: Final = sa.select(NOW.label("now"))
NOBODY: Final[Mapping[str, int]] = MappingProxyType({})
Remove = Callable[[sa.Connection], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """Which deliveries a look is for: see ``Outbox.claim``. ``latest`` is None without overlooked ones."""

    limit: int
    orphans: bool = True
    latest: datetime.datetime | None = None
    avoid: Collection[Place] = ()
    avoid_projects: Collection[str] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What one trip asks for.

    ``registered`` are the workers that are known to be registered: it is asked if others hold deliveries.
    ``orphaned`` is true if the deliveries of these are asked for instead.
    """

    part: Part
    registered: Sequence[str] = ()
    orphaned: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What one trip has found; ``projects`` are those with pending deliveries, in order."""

    others: list[Candidate]
    of_projects: list[Candidate]
    projects: list[str]
    has_others: bool
    seen: SeenLeases


def _report_and_remove(connection: sa.Connection, ended: Mapping[str, int], now: datetime.datetime) -> None:
    add_lost(connection, ended, now)
    remove_workers(connection, ended)


class Looks:
    """The looks of one process.

    A look adapts to what the look before has found: which workers are registered, how many projects have
    pending deliveries, and how many of them more than were asked for. Only where one of these has grown, or
    when it has come to the last of more than PROJECTS projects, a look takes another trip.

    :param reports_lost: whether there is an operational event about each worker that is removed.
    """

    def __init__(self, database: Database, *, reports_lost: bool = False) -> None:
        self._database = database
        self._reports_lost = reports_lost
        # The project after which the next look begins.
        self._after: str | None = None
        self._slots = FIRST
        # How many deliveries each project had; infinite if there may be more.
        self._counts: Sequence[float] = ()
        self._registered: Sequence[str] = ()

    def look(self, wanted: Wanted, ended: Mapping[str, int] = NOBODY) -> tuple[list[Candidate], SeenLeases]:
        """Return what may be leased now, in the order of each project, and the leases of all workers.

        Projects after the last one of the look before come first. Before, the workers *ended* are removed
        unless they have renewed their lease since.

        :raises Retryable: when the database failed.
        """
        remove = self._removal(ended) if ended else None
        if remove is not None and not self._database.has_pipelines:
            with self._database.begin() as connection:
                remove(connection)
            remove = None
        known: dict[Candidate, None] = {}
        # They have probably left some.
        orphaned = wanted.orphans and bool(ended)
        while True:
            slots = min(self._slots, pending_projects.PROJECTS)
            part = Part(self._after, slots, self._each(wanted.limit))
            question = Question(part, self._registered, orphaned)
            found = self._read(wanted, remove, question)
            known |= dict.fromkeys([*found.others, *found.of_projects])
            more = self._adapt(wanted.limit, found, part)
            if wanted.orphans and self._must_search(question, found):
                more = True
                # What has been asked for with all that are registered need not be asked again.
                orphaned = question.registered == self._registered
            if not more and (part.after is None or len(found.projects) == pending_projects.PROJECTS):
                return list(known), found.seen

    def _removal(self, ended: Mapping[str, int]) -> Remove:
        if self._reports_lost:
            return functools.partial(_report_and_remove, ended=ended, now=self._database.about_now())
        return functools.partial(remove_workers, ended=ended)

    def _each(self, limit: int) -> int:
        """Return how many deliveries of one project a look asks for."""
        return min(limit, share(self._counts, 2 * limit))

    def _must_search(self, question: Question, found: Found) -> bool:
        """Note who is registered; return True if there may be deliveries of others that were not found."""
        self._registered = tuple(found.seen.leases)
        if question.orphaned:
            return False
        return found.has_others or not set(question.registered) <= set(self._registered)

    def _adapt(self, limit: int, found: Found, part: Part) -> bool:
        """Adapt the next look to what was found; return True if it must be made now."""
        most = pending_projects.PROJECTS
        number = len(found.projects)
        if number == part.slots < most and self._database.dialect in MYSQL:
            # There may be more projects than were asked for.
            self._slots = min(most, FIRST * part.slots)
            return True
        self._slots = min(most, max(FIRST, size_for(number + 1)))
        self._after = found.projects[-1] if number == most else None
        counts = Counter(one.project_id for one in found.of_projects)
        self._counts = [math.inf if count >= part.each else count for count in counts.values()]
        # Where few projects have many deliveries, they may use the room that the others leave.
        few = len(found.of_projects) < limit and math.inf in self._counts
        return few and self._each(limit) > part.each

    def _read(self, wanted: Wanted, remove: Remove | None, question: Question) -> Found:
        asked_at = time.monotonic()

        def ask(connection: sa.Connection) -> Callable[[], Found]:
            if remove is not None:
                remove(connection)
            present = connection.execute(CLOCK)
            leases = connection.execute(LEASES)
            has_others, others = _ask_others(connection, wanted, question)
            of_projects = project_heads.ask(connection, question.part, wanted.avoid, wanted.avoid_projects)

            def read() -> Found:
                self._database.clock.observe(present.scalar_one(), asked_at)
                seen = SeenLeases(read_leases(leases), asked_at, time.monotonic())
                lost = [one for some in others for one in some()]
                projects, heads = of_projects()
                return Found(lost, heads, projects, has_others(), seen)

            return read

        return read_in_one_trip(self._database, ask)


def _ask_others(
    connection: sa.Connection, wanted: Wanted, question: Question
) -> tuple[Callable[[], bool], Sequence[Callable[[], list[Candidate]]]]:
    """Ask for the deliveries of ended processes, or if there are any, and for the overlooked ones."""
    asked = []

    def has_others() -> bool:
        return False

    if question.orphaned:
        asked.append(orphans.ask_orphaned(connection))
    elif wanted.orphans:
        has_others = orphans.ask_for_others(connection, question.registered)
    if wanted.latest is not None:
        asked.append(orphans.ask_overlooked(connection, wanted.latest, wanted.limit))
    return has_others, asked
