"""From the filters of a request to what the database is asked, and to the exact test of each alarm. Pure.

The exact test decides; the database is asked for a superset that its indexes find.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable, Mapping
from typing import Any, Final

from eventalarm.ifa_shim.alarm import AckState, IfaAlarm, Severity, State, as_sol003
from eventalarm.ifa_shim.fault_details import DELETED_ALARM
from eventalarm.ifa_shim.fault_lines import by_cause, by_fault_type, by_kind
from eventalarm.ifa_shim.filter_match import NotificationType, matches
from eventalarm.ifa_shim.filters import Filter, bounds
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import FAULT_SEVERITIES
from eventalarm.patterns import is_glob, matches_glob
from eventalarm.storage.occurrence_filters import FaultTypes, Severities, Wanted
from eventalarm.x733 import FaultyResourceType

ACTIVE: Final = frozenset({State.FIRED, State.UPDATED})
EVENT_TYPE: Final = ("eventType",)
PROBABLE_CAUSE: Final = ("probableCause",)
RESOURCE_TYPE: Final = ("rootCauseFaultyResource", "faultyResourceType")
# Databases may backtrack when they match patterns, so they are given none with more wildcards than this.
MOST_WILDCARDS: Final = 8
# An alarm is raised no earlier than its event happened; clocks may differ by this much.
SKEW: Final = datetime.timedelta(minutes=10)


@dataclasses.dataclass(frozen=True)
class AlarmQuery:
    """A filtered list: ``wanted`` narrows what the database reads, ``matches`` decides about each alarm."""

    wanted: Wanted
    matches: Callable[[IfaAlarm], bool]


@dataclasses.dataclass(frozen=True)
class IfaQuery:
    """The filters of ``/ifa/v1/alarms``: Doctor's FaultQueryFilter and more; None and empty select all.

    ``min_severity`` must be exceeded, as Doctor defines it.
    """

    states: frozenset[State] = ACTIVE
    severities: frozenset[Severity] = frozenset()
    min_severity: int | None = None
    fault_types: tuple[str, ...] = ()
    managed_objects: frozenset[str] = frozenset()
    resource_kinds: frozenset[FaultyResourceType] = frozenset()
    raised_from: datetime.datetime | None = None
    raised_to: datetime.datetime | None = None
    event_from: datetime.datetime | None = None
    event_to: datetime.datetime | None = None
    newest_first: bool = True

    def of(self, project_id: str | None, settings: Settings) -> AlarmQuery:
        """Return the query for the alarms of one project (None: of all)."""
        return AlarmQuery(
            self._wanted(project_id, settings),
            lambda alarm: is_of(alarm, project_id) and self.matches(alarm),
        )

    def matches(self, alarm: IfaAlarm) -> bool:
        """Return True if *alarm* passes the filters, whichever project it belongs to."""
        kind = alarm.faulty_resource.kind if alarm.faulty_resource is not None else None
        fault_types = self.fault_types
        return (
            alarm.state in self.states
            and (not self.severities or alarm.perceived_severity in self.severities)
            and (self.min_severity is None or alarm.perceived_severity.rank > self.min_severity)
            and (not fault_types or any(matches_glob(alarm.fault_type, one) for one in fault_types))
            and (not self.managed_objects or alarm.managed_object_id in self.managed_objects)
            and (not self.resource_kinds or kind in self.resource_kinds)
            and _between(self.raised_from, alarm.raised_time, self.raised_to)
            and _between(self.event_from, alarm.event_time, self.event_to)
        )

    def _wanted(self, project_id: str | None, settings: Settings) -> Wanted:
        active = None
        if not self.states & {State.CLEARED}:
            active = True
        elif self.states == {State.CLEARED}:
            active = False
        asked = self.severities or frozenset(Severity)
        if self.min_severity is not None:
            asked = frozenset(s for s in asked if s.rank > self.min_severity)
        event_from = self.event_from - SKEW if self.event_from is not None else None
        earliest = max((t for t in (self.raised_from, event_from) if t is not None), default=None)
        return Wanted(
            project_id,
            active=active,
            raised_from=earliest,
            raised_to=self.raised_to,
            managed_objects=self.managed_objects or None,
            severities=_severities(asked, settings),
            newest_first=self.newest_first,
            fault_types=self._fault_types(settings),
        )

    def _fault_types(self, settings: Settings) -> tuple[FaultTypes, ...]:
        found: list[FaultTypes] = []
        simple = all("[" not in one and one.count("*") <= MOST_WILDCARDS for one in self.fault_types)
        if self.fault_types and simple:
            found += by_fault_type(settings, self.fault_types)
        if self.resource_kinds:
            found += by_kind(settings, self.resource_kinds.__contains__)
        return tuple(found)


class EntryKind(enum.StrEnum):
    """The kind of an entry of a history."""

    RAISED = "raised"
    CHANGED = "changed"
    REPEATED = "repeated"
    CLEARED = "cleared"
    ACKNOWLEDGED = "acknowledged"


@dataclasses.dataclass(frozen=True)
class HistoryQuery:
    """The filters of a history: ``alarms`` those of the alarm as an entry shows it; no kinds select all."""

    alarms: IfaQuery = dataclasses.field(default_factory=lambda: IfaQuery(states=frozenset(State)))
    kinds: frozenset[EntryKind] = frozenset()

    def matches(self, alarm: IfaAlarm, kind: str) -> bool:
        """Return True if an entry of this *kind* is selected; *alarm* is the alarm after the change."""
        return (not self.kinds or kind in self.kinds) and self.alarms.matches(alarm)


def subscription_query(wanted: Mapping[str, Any], project_id: str | None) -> AlarmQuery:
    """Return the query for the active alarms of one project (None: of all) that a subscription covers.

    *wanted* is its filter; which notifications it asks for does not matter. The oldest alarms come first.
    """
    asked = {name: value for name, value in wanted.items() if name != "notificationTypes"}
    return AlarmQuery(
        Wanted(project_id, active=True),
        lambda alarm: (
            alarm.active and is_of(alarm, project_id) and matches(asked, NotificationType.ALARM, alarm)
        ),
    )


def sol003_query(
    asked: Filter, project_id: str | None, settings: Settings, cleared_since: datetime.datetime
) -> AlarmQuery:
    """Return the query for the alarms of one project (None: of all) that pass an attribute filter.

    Alarms cleared before *cleared_since* are left out.
    """
    connection = settings.vim_connection_id

    def fits(alarm: IfaAlarm) -> bool:
        return (
            is_of(alarm, project_id)
            and _is_retained(alarm, cleared_since)
            and asked(as_sol003(alarm, vim_connection_id=connection))
        )

    return AlarmQuery(_sol003_wanted(asked, project_id, settings, cleared_since), fits)


def _sol003_wanted(
    asked: Filter, project_id: str | None, settings: Settings, cleared_since: datetime.datetime
) -> Wanted:
    levels = bounds(asked, ("perceivedSeverity",))
    words = levels.values if levels.values is not None else frozenset(s.value for s in Severity)
    kept = frozenset(Severity(w) for w in words - levels.excluded if w in Severity.__members__)
    cleared = bounds(asked, ("alarmClearedTime",))
    active: bool | None = None
    if Severity.CLEARED not in kept:
        active = True
    elif kept == {Severity.CLEARED} or cleared.not_before or cleared.not_after:
        active = False
    raised = bounds(asked, ("alarmRaisedTime",))
    objects = _objects(asked)
    return Wanted(
        project_id,
        active=active,
        raised_from=raised.not_before,
        raised_to=raised.not_after,
        cleared_since=cleared_since,
        managed_objects=objects,
        severities=_severities(kept, settings),
        ids=bounds(asked, ("id",)).values,
        acknowledged=_acknowledged(asked),
        fault_types=_fault_types(asked, settings),
    )


def _acknowledged(asked: Filter) -> bool | None:
    possible = [state for state in AckState if asked.lets(("ackState",), state.value)]
    return possible[0] is AckState.ACKNOWLEDGED if len(possible) == 1 else None


def _fault_types(asked: Filter, settings: Settings) -> tuple[FaultTypes, ...]:
    """Return the fault types that expressions on causes, resource kinds and fault types leave possible."""
    found: list[FaultTypes] = []
    if asked.names(EVENT_TYPE):
        found += by_cause(settings, lambda cause: asked.lets(EVENT_TYPE, cause.event_type.value))
    if asked.names(PROBABLE_CAUSE):
        found += by_cause(settings, lambda cause: asked.lets(PROBABLE_CAUSE, cause.probable_cause))
    # An event may name its probable cause itself, whatever its type.
    found = [dataclasses.replace(one, or_trait="probable_cause") for one in found]
    if asked.names(RESOURCE_TYPE):
        found += by_kind(settings, lambda kind: asked.lets(RESOURCE_TYPE, kind.value))
    exact = bounds(asked, ("faultType",)).values
    if exact is not None and not any(map(is_glob, exact)):
        found += by_fault_type(settings, sorted(exact))
    return tuple(found)


def _objects(asked: Filter) -> frozenset[str] | None:
    named = bounds(asked, ("managedObjectId",)).values
    handle = bounds(asked, ("rootCauseFaultyResource", "faultyResource", "resourceId")).values
    if named is None or handle is None:
        return named if handle is None else handle
    return named & handle


def _severities(asked: frozenset[Severity], settings: Settings) -> Severities | None:
    """Return what the database is asked for so that no alarm of severity *asked* is missed; None: all."""
    if settings.severity_overrides or asked == frozenset(Severity):
        return None
    return Severities(
        cleared=Severity.CLEARED in asked,
        said=frozenset(s.value for s in asked) & FAULT_SEVERITIES,
        words=frozenset(word for word, severity in settings.severities.items() if severity in asked),
        undefined=settings.undefined_severity in asked,
        known_words=frozenset(settings.severities),
    )


def is_of(alarm: IfaAlarm, project_id: str | None) -> bool:
    """Return True if *alarm* may be read; a database may compare the ids of projects less exactly (G5)."""
    return project_id in (None, alarm.project_id)


def _is_retained(alarm: IfaAlarm, cleared_since: datetime.datetime) -> bool:
    """Return True unless *alarm* was cleared before that time.

    The clear time of a deleted alarm is an estimate until a listener has recorded it, so it does not count;
    the database has left out those that are recorded.
    """
    cleared = alarm.cleared_time
    return cleared is None or cleared >= cleared_since or DELETED_ALARM in alarm.fault_details


def _between(
    earliest: datetime.datetime | None, moment: datetime.datetime, latest: datetime.datetime | None
) -> bool:
    return (earliest is None or moment >= earliest) and (latest is None or moment <= latest)
