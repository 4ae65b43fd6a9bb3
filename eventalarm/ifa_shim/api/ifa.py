"""``/ifa/v1``: alarms in IFA 005's attribute names, with the filters of Doctor's northbound interface."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable
from typing import TypeVar

import falcon

from eventalarm.catalogue.dictionary import document_of, fault_types
from eventalarm.catalogue.faults import Fault
from eventalarm.http.requests import check_preconditions
from eventalarm.http.responses import MARKER, decode_marker, encode_marker
from eventalarm.ifa_shim import ifa_policies
from eventalarm.ifa_shim.alarm import Document, IfaAlarm, Severity, State, as_ifa005, etag, rfc3339
from eventalarm.ifa_shim.api.context import ApiContext, read_marker, write_marker
from eventalarm.ifa_shim.filters import BadFilter
from eventalarm.ifa_shim.queries import ACTIVE, IfaQuery
from eventalarm.model import parse_time
from eventalarm.patterns import matches_glob
from eventalarm.x733 import FaultyResourceType

Word = TypeVar("Word", State, Severity, FaultyResourceType)


def words(req: falcon.Request, name: str, kind: type[Word]) -> frozenset[Word]:
    """Return the values of a parameter that may be repeated or hold a comma-separated list.

    :raises BadFilter: when one of them is not a *kind*.
    """
    found = [part for value in texts(req, name) for part in value.split(",") if part]
    try:
        return frozenset(kind(word.upper()) for word in found)
    except ValueError as exc:
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


def show(alarm: IfaAlarm) -> Document:
    """Return *alarm* in IFA 005's attribute names, with its project and SOL003's acknowledgement."""
    shown = as_ifa005(alarm) | {"ackState": alarm.ack_state.value, "projectId": alarm.project_id}
    if alarm.acknowledged_time is not None:
        shown["alarmAcknowledgedTime"] = rfc3339(alarm.acknowledged_time)
    return shown


class IfaAlarms:
    """``/ifa/v1/alarms``."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return a page of alarms, the active ones unless ``state`` is given."""
        context = self._context
        project_id = context.guard.listed_project(req, ifa_policies.LIST, ifa_policies.ALL_PROJECTS)
        query = read_query(req)
        listing = context.alarms.page(
            query.of(project_id, context.alarms.settings),
            read_marker(req),
            page_size(req, context.options.page_size),
        )
        context.links.add_next(req, resp, write_marker(listing.next))
        resp.text = json.dumps([show(alarm) for alarm in listing.alarms])


class OneIfaAlarm:
    """``/ifa/v1/alarms/{alarmId}``."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response, alarm_id: str) -> None:
        """Return one alarm."""
        alarm = self._context.find(req, alarm_id, ifa_policies.SHOW)
        if check_preconditions(req, resp, etag(alarm)):
            resp.text = json.dumps(show(alarm))


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
        found = context.alarms.history(alarm_id, project_id, after, page_size(req, context.options.page_size))
        if found is None:
            raise falcon.HTTPNotFound(description="alarm not found")
        entries, marker = found
        context.links.add_next(req, resp, encode_marker(marker) if marker is not None else None)
        resp.text = json.dumps(entries)


class FaultTypes:
    """``/ifa/v1/fault-types``: the dictionary of alarms, which is the fault catalogue."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context
        settings = context.alarms.settings
        self._faults = [settings.adapted(fault) for fault in settings.faults.faults]

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the entries, with the operator's changes; the entity tag changes with them."""
        self._context.guard.visible_project(req, ifa_policies.FAULT_TYPES, ifa_policies.ALL_PROJECTS)
        patterns, kinds = texts(req, "fault_type"), words(req, "resource_type", FaultyResourceType)
        found = [
            document_of(fault)
            for fault in self._faults
            if (not kinds or fault.resource_kind in kinds) and (not patterns or _is_named(fault, patterns))
        ]
        text = json.dumps(found)
        if check_preconditions(req, resp, f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'):
            resp.text = text


def _is_named(fault: Fault, patterns: Iterable[str]) -> bool:
    """Return True if an alarm of *fault* may have a fault type that one of *patterns* names."""
    return any(
        matches_glob(name, pattern) or matches_glob(pattern, name)
        for name in fault_types(fault)
        for pattern in patterns
    )
