"""What every resource of the IFA API uses: alarms, access rules, links, schemas, options and the clock."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Callable, Iterator
from typing import Any

import falcon

from eventalarm.http.auth import Guard
from eventalarm.http.openapi import Schemas
from eventalarm.http.responses import MARKER, BadMarker, Links, decode_marker, encode_marker
from eventalarm.ifa_shim import ifa_policies
from eventalarm.ifa_shim.alarm import IfaAlarm
from eventalarm.ifa_shim.alarms import AlarmReader, Listing, Marker, object_id_of
from eventalarm.ifa_shim.history import HistoryReader
from eventalarm.ifa_shim.history_entries import Document
from eventalarm.ifa_shim.options import ApiOptions
from eventalarm.ifa_shim.physical_resources import PhysicalResourceReader
from eventalarm.ifa_shim.project_history import HistoryMarker, HistoryPage, ProjectHistory
from eventalarm.ifa_shim.queries import AlarmQuery, HistoryQuery
from eventalarm.ifa_shim.resource_states import ResourceStatus
from eventalarm.ifa_shim.resources import ResourceListing, ResourceQuery, ResourceReader
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import parse_time
from eventalarm.storage.database import Database, Within
from eventalarm.storage.occurrence_details import Acknowledgement, Acknowledgements

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
        self, alarm_id: str, project_id: str | None, query: HistoryQuery, after: Any, limit: int
    ) -> tuple[list[Document], Any] | None:
        """Return a page of the history of an alarm and the marker of the next one; None: no such alarm.

        :raises BadMarker: when the marker *after* is unknown.
        """
        with self._snapshot() as inside:
            alarm = AlarmReader(inside, self.settings).get(alarm_id, project_id)
            if alarm is None:
                return None
            reader = HistoryReader(inside, self.settings, everything=project_id is None)
            return reader.page(alarm, query, after, limit)

    def transitions(
        self,
        project_id: str | None,
        query: HistoryQuery,
        marker: HistoryMarker,
        limit: int,
        overlap: datetime.timedelta,
    ) -> HistoryPage:
        """Return a page of the history of all alarms of a project (None: of all), from *marker* on.

        :param overlap: how long a transaction may take to commit after it read the time.
        """
        now = self._now()
        with self._snapshot() as inside:
            history = ProjectHistory(inside, self.settings, now, overlap)
            return history.page(project_id, query, marker, limit)

    def resources(self, query: ResourceQuery, marker: Marker, limit: int) -> ResourceListing:
        """Return the next resources that *query* selects, up to *limit*, from *marker* on."""
        now = self._now()
        with self._snapshot() as inside:
            return ResourceReader(inside, self.settings, now).page(query, marker, limit)

    def resource(self, resource_id: str, project_id: str | None) -> ResourceStatus | None:
        """Return a resource if *project_id* has it (None: if any project has), else None."""
        now = self._now()
        with self._snapshot() as inside:
            return ResourceReader(inside, self.settings, now).get(resource_id, project_id)

    @contextlib.contextmanager
    def hosts(self, stale_after: float | None) -> Iterator[PhysicalResourceReader]:
        """Read hosts in one transaction; see :class:`PhysicalResourceReader`."""
        now = self._now()
        with self._snapshot() as inside:
            yield PhysicalResourceReader(inside, self.settings.faults, now, stale_after)

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[Within]:
        with self._database.snapshot() as connection:
            yield Within(connection)

    def acknowledge(self, alarm: IfaAlarm, user_id: str, comment: str | None = None) -> bool:
        """Record that *user_id* acknowledged this occurrence; False if it was acknowledged meanwhile."""
        acknowledgement = Acknowledgement(
            object_id_of(alarm),
            alarm.aodh_alarm_id,
            alarm.project_id,
            alarm.occurrence_id,
            self._now(),
            user_id,
            comment,
        )
        return Acknowledgements(self._database).add(acknowledgement)

    def unacknowledge(self, alarm: IfaAlarm) -> bool:
        """Remove the acknowledgement of this occurrence; False if there is none."""
        return Acknowledgements(self._database).remove(object_id_of(alarm), alarm.occurrence_id)


@dataclasses.dataclass(frozen=True)
class ApiContext:
    """The collaborators of the resources; ``now`` returns a UTC-aware time."""

    alarms: AlarmService
    guard: Guard
    links: Links
    schemas: Schemas
    options: ApiOptions
    now: Clock

    def find(self, req: falcon.Request, alarm_id: str, rule: str) -> IfaAlarm:
        """Return an alarm that the caller may see.

        :raises falcon.HTTPNotFound: when there is none, also when it belongs to another project.
        """
        project_id = self.guard.visible_project(req, rule, ifa_policies.ALL_PROJECTS)
        alarm = self.alarms.get(alarm_id, project_id)
        if alarm is None:
            raise falcon.HTTPNotFound(description="alarm not found")
        return alarm

    def fault_management(self, req: falcon.Request) -> str:
        """Return the root URL of SOL003's fault management API."""
        return f"{self.links.root(req)}/vnffm/v1"


def write_marker(marker: Marker | None) -> str | None:
    """Return the paging marker for a position in a listing of alarms; None for None."""
    if marker is None:
        return None
    key = marker.key
    written = [key[0].isoformat(), key[1]] if isinstance(key, tuple) else key
    return encode_marker([marker.stream, written])


def read_marker(req: falcon.Request) -> Marker:
    """Return the position at which the requested page of alarms begins, by default the start.

    :raises BadMarker: when the marker was not made by :func:`write_marker`.
    """
    text = req.get_param(MARKER)
    if not text:
        return Marker()
    match decode_marker(text):
        case [int(stream), None] if 0 <= stream <= 4:
            return Marker(stream)
        case [int(stream), [str(moment), str(name)]] if stream in (0, 1):
            try:
                return Marker(stream, (parse_time(moment), name))
            except ValueError:
                pass
        case [int(stream), str(name)] if 2 <= stream <= 4:
            return Marker(stream, name)
    raise BadMarker
