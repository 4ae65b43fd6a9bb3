"""Reads the query parameters of ``/ifa/v1``."""

from __future__ import annotations

import dataclasses
import datetime
from typing import TypeVar

import falcon

from eventalarm.ifa_shim.alarm import Severity, State
from eventalarm.ifa_shim.filters import BadFilter
from eventalarm.ifa_shim.queries import ACTIVE, EntryKind, HistoryQuery, IfaQuery
from eventalarm.ifa_shim.resource_states import ResourceState
from eventalarm.ifa_shim.resources import ResourceQuery
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import parse_time
from eventalarm.x733 import FaultyResourceType

Word = TypeVar("Word", State, Severity, FaultyResourceType, EntryKind, ResourceState)


def words(req: falcon.Request, name: str, kind: type[Word]) -> frozenset[Word]:
    """Return the values of a parameter that may be repeated or hold a comma-separated list.

    :raises BadFilter: when one of them is not a *kind*.
    """
    found = [part for value in texts(req, name) for part in value.split(",") if part]
    known = {one.value.lower(): one for one in kind}
    try:
        return frozenset(known[word.lower()] for word in found)
    except KeyError as exc:
        raise BadFilter(f"{name} must be one of {', '.join(kind)}") from exc


def texts(req: falcon.Request, name: str) -> list[str]:
    """Return the values of a parameter that may be repeated."""
    value = req.params.get(name, [])
    return [value] if isinstance(value, str) else list(value)


def moment(req: falcon.Request, name: str) -> datetime.datetime | None:
    """Return the time in a parameter, UTC-aware, or None; without a time zone it is read as UTC.

    :raises BadFilter: when it is not an ISO 8601 time.
    """
    text = req.get_param(name)
    try:
        return parse_time(text.strip()) if text else None
    except ValueError as exc:
        raise BadFilter(f"{name} must be an ISO 8601 time, such as 2026-11-20T23:01:36Z") from exc


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


def page_size(req: falcon.Request, most: int) -> int:
    """Return the maximum number of entries of a page: the parameter ``limit``, at most *most*.

    :raises BadFilter: when it is not a positive integer.
    """
    text = req.get_param("limit")
    if not text:
        return most
    if not text.isascii() or not text.isdigit() or not 0 < len(text) < 7 or int(text) < 1:
        raise BadFilter("limit must be an integer ≥ 1")
    return min(int(text), most)


def read_query(req: falcon.Request) -> IfaQuery:
    """Return the filters of a request.

    :raises BadFilter: when one of them is invalid.
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

    :raises BadFilter: when one of them is invalid.
    """
    alarms = dataclasses.replace(read_query(req), states=words(req, "state", State) or frozenset(State))
    return HistoryQuery(alarms, words(req, "kind", EntryKind))


def read_resource_query(req: falcon.Request, project_id: str | None, settings: Settings) -> ResourceQuery:
    """Return the filters of a request for the resources of a project (None: of all).

    :raises BadFilter: when one of them is invalid.
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
