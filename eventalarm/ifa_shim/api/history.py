"""The histories of ``/ifa/v1``: of one alarm, and of all alarms of the caller."""

from __future__ import annotations

import datetime
import json

import falcon

from eventalarm.http.parameters import moment, page_size
from eventalarm.http.responses import MARKER, decode_marker, encode_marker
from eventalarm.ifa_shim import ifa_policies
from eventalarm.ifa_shim.api.context import ApiContext
from eventalarm.ifa_shim.api.parameters import read_history_query
from eventalarm.ifa_shim.filters import BadFilter
from eventalarm.ifa_shim.project_history import HistoryMarker, read_history_marker

# The header in which every page of the history has the marker with which to continue.
HISTORY_MARKER = "X-Eventalarm-Marker"


class IfaHistory:
    """``/ifa/v1/alarms/{alarmId}/history``."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response, alarm_id: str) -> None:
        """Return a page of transitions and acknowledgements, the oldest first, with their events."""
        context = self._context
        project_id = context.guard.visible_project(req, ifa_policies.HISTORY, ifa_policies.ALL_PROJECTS)
        text = req.get_param(MARKER)
        after = decode_marker(text) if text else None
        size = page_size(req, context.options.page_size)
        found = context.alarms.history(alarm_id, project_id, read_history_query(req), after, size)
        if found is None:
            raise falcon.HTTPNotFound(description="alarm not found")
        entries, marker = found
        context.links.add_next(req, resp, encode_marker(marker) if marker is not None else None)
        resp.text = json.dumps(entries)


class AllHistory:
    """``/ifa/v1/history``."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return a page of the transitions of all alarms of the caller, in the order of their recording."""
        context = self._context
        project_id = context.guard.listed_project(req, ifa_policies.HISTORY, ifa_policies.ALL_PROJECTS)
        found = context.alarms.transitions(
            project_id,
            read_history_query(req),
            self._marker(req),
            page_size(req, context.options.page_size),
            datetime.timedelta(seconds=context.options.history_overlap),
        )
        marker = encode_marker(found.marker.value)
        context.links.add_next(req, resp, marker if found.more else None)
        resp.set_header(HISTORY_MARKER, marker)
        resp.text = json.dumps(found.entries)

    def _marker(self, req: falcon.Request) -> HistoryMarker:
        """Return where the page begins: at the marker of an earlier one, else at the time ``since``.

        :raises BadFilter: when entries after the marker have expired.
        """
        text, since = req.get_param(MARKER), moment(req, "since")
        if not text:
            return HistoryMarker.since(since)
        marker, kept = read_history_marker(decode_marker(text)), self._context.options.history_kept
        if kept >= 0 and marker.has_gap(self._context.now(), datetime.timedelta(seconds=kept)):
            raise BadFilter(
                f"the marker is older than {kept} seconds (history_time_to_live), after which entries are "
                "removed: note the time, read /ifa/v1/alarms, then continue with since="
            )
        return marker
