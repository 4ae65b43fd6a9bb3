"""What the API answers of alarms: each answer shows one moment, read from one snapshot of the database."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, Final, TypeVar

from eventalarm.ifa_shim.alarm import IfaAlarm
from eventalarm.ifa_shim.alarms import Alarms, Listing, Marker, Matches, object_id_of
from eventalarm.ifa_shim.tables import Settings
from eventalarm.ifa_shim.timeline import Document, Timeline
from eventalarm.storage.acknowledgements import Acknowledgement, Acknowledgements
from eventalarm.storage.database import Database
from eventalarm.storage.occurrence_details import OccurrenceDetails
from eventalarm.storage.occurrence_filters import Wanted
from eventalarm.storage.within import Within

# How often an answer is read again because it met deleted alarms whose end had to be recorded first.
TRIES: Final = 3

Answer = TypeVar("Answer")
Clock = Callable[[], datetime.datetime]


class Answers:
    """Reads alarms on *database* and shows them by *settings*; safe to share between threads."""

    def __init__(self, database: Database, settings: Settings, now: Clock) -> None:
        self.settings = settings
        self._database = database
        self._now = now

    def page(self, wanted: Wanted, matches: Matches, marker: Marker, limit: int) -> Listing:
        """Return up to *limit* alarms of *wanted* that *matches* lets pass, from *marker* on."""
        return self._at_one_moment(lambda alarms, _: alarms.page(wanted, matches, marker, limit))

    def get(self, alarm_id: str, project_id: str | None) -> IfaAlarm | None:
        """Return the alarm of that id if it is one of *project_id* (None: of any), else None."""
        return self._at_one_moment(lambda alarms, _: alarms.get(alarm_id, project_id))

    def history(
        self, alarm_id: str, project_id: str | None, after: Any, limit: int
    ) -> tuple[list[Document], Any] | None:
        """Return a page of the history of an alarm and the marker of the next one; None: no such alarm.

        :raises BadFilter: when the marker *after* is not one that this method gave out.
        """

        def read(alarms: Alarms, timeline: Timeline) -> tuple[list[Document], Any] | None:
            alarm = alarms.get(alarm_id, project_id)
            return None if alarm is None else timeline.page(alarm, after, limit)

        return self._at_one_moment(read)

    def _at_one_moment(self, read: Callable[[Alarms, Timeline], Answer]) -> Answer:
        """Return what *read* finds; record the end of deleted alarms, so that all answers agree on it."""
        for _ in range(TRIES):
            now = self._now()
            with self._database.snapshot() as connection:
                inside = Within(connection)
                alarms = Alarms(inside, self.settings, now)
                found = read(alarms, Timeline(inside, self.settings))
            if not alarms.orphans:
                break
            OccurrenceDetails(self._database).close_deleted(alarms.orphans, now)
        return found

    def acknowledge(self, alarm: IfaAlarm, user_id: str) -> bool:
        """Note that *user_id* knows of this occurrence; False when somebody was faster."""
        note = Acknowledgement(
            object_id_of(alarm), alarm.aodh_alarm_id, alarm.project_id, alarm.life, self._now(), user_id
        )
        return Acknowledgements(self._database).add(note)

    def unacknowledge(self, alarm: IfaAlarm) -> bool:
        """Take that note back; False when there is none."""
        return Acknowledgements(self._database).remove(object_id_of(alarm), alarm.life)
