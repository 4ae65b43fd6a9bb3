"""What every resource of the API has at hand."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable

import falcon

from eventalarm.ifa_shim import policies
from eventalarm.ifa_shim.alarm import IfaAlarm
from eventalarm.ifa_shim.alarm_service import AlarmService
from eventalarm.ifa_shim.api import paging
from eventalarm.ifa_shim.api.callers import Guard
from eventalarm.ifa_shim.api.document import ApiDocument
from eventalarm.ifa_shim.api.links import Links
from eventalarm.ifa_shim.options import ApiOptions


@dataclasses.dataclass(frozen=True)
class Edge:
    """The guard, the links, the document, the options and the clock; and the alarms behind them."""

    alarms: AlarmService
    guard: Guard
    links: Links
    document: ApiDocument
    options: ApiOptions
    now: Callable[[], datetime.datetime]

    def find(self, req: falcon.Request, alarm_id: str, rule: str) -> IfaAlarm:
        """Return an alarm that the caller may see.

        :raises falcon.HTTPNotFound: when there is none, also when it is another project's.
        """
        alarm = self.alarms.get(alarm_id, self.guard.visible(req, rule, policies.ALL_PROJECTS))
        if alarm is None:
            raise falcon.HTTPNotFound(description="there is no such alarm")
        return alarm

    def link(self, req: falcon.Request, resp: falcon.Response, marker: str | None) -> None:
        """Tell where the next page is; without a marker there is none."""
        paging.link(req, resp, self.links.prefix(req), marker)
