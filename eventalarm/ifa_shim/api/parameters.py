"""Reads the query parameters of ``/ifa/v1``."""

from __future__ import annotations

import dataclasses

import falcon

from eventalarm.http.parameters import moment, texts, words
from eventalarm.ifa_shim.alarm import Severity, State
from eventalarm.ifa_shim.filters import BadFilter
from eventalarm.ifa_shim.queries import ACTIVE, EntryKind, HistoryQuery, IfaQuery
from eventalarm.ifa_shim.resource_states import ResourceState
from eventalarm.ifa_shim.resources import ResourceQuery
from eventalarm.ifa_shim.tables import Settings
from eventalarm.x733 import FaultyResourceType


def least(req: falcon.Request) -> int | None:
    """Return Doctor's MinSeverity as a number, given as a number or the name of a severity; None if absent.

    :raises BadFilter: when it is neither.
    """
    text = req.get_param("min_severity")
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) < 4:
        return int(text)
    try:
        return Severity(text.upper()).rank
    except ValueError as exc:
        raise BadFilter(
            f"min_severity must be an integer from 0 to 999, or one of {', '.join(Severity)}"
        ) from exc


def read_query(req: falcon.Request) -> IfaQuery:
    """Return the filters of a request.

    :raises BadFilter, BadParameter: when one of them is invalid.
    """
    order = req.get_param("order") or "newest"
    if order not in ("newest", "oldest"):
        raise BadFilter("order must be newest or oldest")
    return IfaQuery(
        states=words(req, "state", State) or ACTIVE,
        severities=words(req, "severity", Severity),
        min_severity=least(req),
        fault_types=tuple(texts(req, "fault_type")),
        managed_objects=frozenset(texts(req, "managed_object")),
        resource_kinds=words(req, "resource_type", FaultyResourceType),
        raised_from=moment(req, "raised_after"),
        raised_to=moment(req, "raised_before"),
        event_from=moment(req, "event_after"),
        event_to=moment(req, "event_before"),
        newest_first=order == "newest",
    )


def read_history_query(req: falcon.Request) -> HistoryQuery:
    """Return the filters of a request for a history.

    :raises BadFilter, BadParameter: when one of them is invalid.
    """
    alarms = dataclasses.replace(read_query(req), states=words(req, "state", State) or frozenset(State))
    return HistoryQuery(alarms, words(req, "kind", EntryKind))


def read_resource_query(req: falcon.Request, project_id: str | None, settings: Settings) -> ResourceQuery:
    """Return the filters of a request for the resources of a project (None: of all).

    :raises BadFilter, BadParameter: when one of them is invalid.
    """
    alarms = IfaQuery(
        severities=words(req, "severity", Severity),
        min_severity=least(req),
        fault_types=tuple(texts(req, "fault_type")),
        managed_objects=frozenset(texts(req, "managed_object")),
        resource_kinds=words(req, "resource_type", FaultyResourceType),
        newest_first=False,
    )
    return ResourceQuery(project_id, alarms.of(project_id, settings), words(req, "state", ResourceState))
