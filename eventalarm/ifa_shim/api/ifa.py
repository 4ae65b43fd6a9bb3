"""``/ifa/v1``: alarms in IFA 005's attribute names, with the filters of Doctor's northbound interface."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import falcon

from eventalarm.catalogue.dictionary import document_of, fault_types
from eventalarm.catalogue.faults import Fault
from eventalarm.http.parameters import page_size, texts, words
from eventalarm.http.requests import check_preconditions
from eventalarm.ifa_shim import ifa_policies
from eventalarm.ifa_shim.alarm import Document, IfaAlarm, as_ifa005, etag, rfc3339
from eventalarm.ifa_shim.api.context import ApiContext, read_marker, write_marker
from eventalarm.ifa_shim.api.parameters import read_query
from eventalarm.patterns import matches_glob
from eventalarm.x733 import FaultyResourceType


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
