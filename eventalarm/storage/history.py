"""The recorded transitions of all alarms of a project, in the order in which they were recorded.

The time of a transition is read before its transaction is committed, and transactions overlap: one may become
visible after others that have a later time. So a reader that continues after the last transition that it got
asks how many there are in the last moments before it: if there are more than it was given, one was committed
late (see :mod:`eventalarm.ifa_shim.project_history`).
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import sqlalchemy as sa

from eventalarm.model import Transition
from eventalarm.storage.database import Database
from eventalarm.storage.events import STORED
from eventalarm.storage.occurrence_details import TRANSITION_COLUMNS, to_transition
from eventalarm.storage.tables import transition


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class HistoryPlace:
    """A place in the history: after all transitions up to this time and, at this time, up to this id."""

    at: datetime.datetime
    transition_id: str = ""


class TransitionHistory:
    """Reads of one database, each a range of one index; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, project_id: str | None, after: HistoryPlace, limit: int) -> list[Transition]:
        """Return the next *limit* transitions of a project (None: of all), with their events.

        Transitions of kind ``late`` are among them.
        """
        order = (transition.c.recorded_at, transition.c.transition_id)
        query = (
            sa.select(*TRANSITION_COLUMNS)
            .select_from(STORED)
            .where(*_of(project_id), *_beyond(after))
            .order_by(*order)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [to_transition(row) for row in connection.execute(query)]

    def count(self, project_id: str | None, after: HistoryPlace, until: HistoryPlace) -> int:
        """Return the number of transitions of a project (None: of all) between two places."""
        up_to = sa.or_(transition.c.recorded_at < until.at, transition.c.transition_id <= until.transition_id)
        query = (
            sa.select(sa.func.count())
            .select_from(transition)
            .where(*_of(project_id), *_beyond(after), transition.c.recorded_at <= until.at, up_to)
        )
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())


def _of(project_id: str | None) -> list[sa.ColumnElement[bool]]:
    return [] if project_id is None else [transition.c.project_id == project_id]


def _beyond(after: HistoryPlace) -> tuple[Any, ...]:
    later = sa.or_(transition.c.recorded_at > after.at, transition.c.transition_id > after.transition_id)
    return transition.c.recorded_at >= after.at, later
