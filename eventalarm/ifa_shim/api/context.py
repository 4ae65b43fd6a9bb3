"""What every resource of the IFA API uses: alarms, access rules, links, schemas, options and the clock."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable

import falcon

from eventalarm.http import paging
from eventalarm.http.auth import Guard
from eventalarm.http.openapi import Schemas
from eventalarm.http.paging import BadMarker, Links
from eventalarm.ifa_shim import ifa_policies
from eventalarm.ifa_shim.alarm import IfaAlarm
from eventalarm.ifa_shim.alarm_service import AlarmService
from eventalarm.ifa_shim.alarms import Marker
from eventalarm.ifa_shim.options import ApiOptions
from eventalarm.model import parse_time


@dataclasses.dataclass(frozen=True)
class ApiContext:
    """The collaborators of the resources; ``now`` returns a UTC-aware time."""

    alarms: AlarmService
    guard: Guard
    links: Links
    schemas: Schemas
    options: ApiOptions
    now: Callable[[], datetime.datetime]

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
    return paging.encode([marker.stream, written])


def read_marker(req: falcon.Request) -> Marker:
    """Return the position at which the requested page of alarms begins, by default the start.

    :raises BadMarker: when the marker was not made by :func:`write_marker`.
    """
    text = req.get_param(paging.PARAMETER)
    if not text:
        return Marker()
    match paging.decode(text):
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
