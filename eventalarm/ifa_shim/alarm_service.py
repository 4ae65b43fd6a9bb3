"""Alarms as the API serves them: each response shows one moment, read from one snapshot of the database."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator
from typing import Any

from eventalarm.ifa_shim.alarm import IfaAlarm
from eventalarm.ifa_shim.alarms import AlarmReader, Listing, Marker, object_id_of
from eventalarm.ifa_shim.history import Document, HistoryReader
from eventalarm.ifa_shim.queries import AlarmQuery
from eventalarm.ifa_shim.tables import Settings
from eventalarm.storage.acknowledgements import Acknowledgement, Acknowledgements
from eventalarm.storage.database import Database, Within

Clock = Callable[[], datetime.datetime]


class AlarmService:
    """Reads and acknowledges alarms on *database*; safe to share between threads. Reading never writes."""

    def __init__(self, database: Database, settings: Settings, now: Clock) -> None:
        self.settings = settings
        self._database = database
        self._now = now

    def page(self, query: AlarmQuery, marker: Marker, limit: int) -> Listing:
        """Return up to *limit* alarms that *query* selects, from *marker* on."""
        with self._snapshot() as inside:
            return AlarmReader(inside, self.settings).page(query, marker, limit)

    def get(self, alarm_id: str, project_id: str | None) -> IfaAlarm | None:
        """Return the alarm with that id if it belongs to *project_id* (None: to any), else None."""
        with self._snapshot() as inside:
            return AlarmReader(inside, self.settings).get(alarm_id, project_id)

    def history(
        self, alarm_id: str, project_id: str | None, after: Any, limit: int
    ) -> tuple[list[Document], Any] | None:
        """Return a page of the history of an alarm and the marker of the next one; None: no such alarm.

        :raises BadFilter: when the marker *after* is unknown.
        """
        with self._snapshot() as inside:
            alarm = AlarmReader(inside, self.settings).get(alarm_id, project_id)
            return None if alarm is None else HistoryReader(inside, self.settings).page(alarm, after, limit)

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[Within]:
        with self._database.snapshot() as connection:
            yield Within(connection)

    def acknowledge(self, alarm: IfaAlarm, user_id: str) -> bool:
        """Record that *user_id* acknowledged this occurrence; False if it was acknowledged meanwhile."""
        acknowledgement = Acknowledgement(
            object_id_of(alarm),
            alarm.aodh_alarm_id,
            alarm.project_id,
            alarm.occurrence_id,
            self._now(),
            user_id,
        )
        return Acknowledgements(self._database).add(acknowledgement)

    def unacknowledge(self, alarm: IfaAlarm) -> bool:
        """Remove the acknowledgement of this occurrence; False if there is none."""
        return Acknowledgements(self._database).remove(object_id_of(alarm), alarm.occurrence_id)
