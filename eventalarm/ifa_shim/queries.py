"""From what a caller asks to what the database is asked, and to the exact test of each alarm. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from typing import Final

from eventalarm.ifa_shim.alarm import AckState, IfaAlarm, ResourceKind, Severity, State
from eventalarm.ifa_shim.alarms import Matches, severities
from eventalarm.ifa_shim.filters import Filter, bounds
from eventalarm.ifa_shim.render import as_sol003
from eventalarm.ifa_shim.tables import NO_CAUSE, Cause, Settings
from eventalarm.patterns import is_glob, matches_glob
from eventalarm.storage.occurrence_filters import FaultTypes, Wanted

ACTIVE: Final = frozenset({State.FIRED, State.UPDATED})
EVENT_TYPE: Final = ("eventType",)
PROBABLE_CAUSE: Final = ("probableCause",)
RESOURCE_TYPE: Final = ("rootCauseFaultyResource", "faultyResourceType")
# Databases may go back in a text; for more wildcards than this they are not asked.
MOST_WILDCARDS: Final = 8
# An event is raised at the earliest when it happened; by this much clocks may differ.
SKEW: Final = datetime.timedelta(minutes=10)


@dataclasses.dataclass(frozen=True)
class IfaQuery:
    """The filters of ``/ifa/v1/alarms``: Doctor's FaultQueryFilter and more; None and empty ask for all.

    ``min_severity`` is exceeded strictly, as Doctor has it.
    """

    states: frozenset[State] = ACTIVE
    severities: frozenset[Severity] = frozenset()
    min_severity: int | None = None
    fault_types: tuple[str, ...] = ()
    managed_objects: frozenset[str] = frozenset()
    resource_kinds: frozenset[ResourceKind] = frozenset()
    raised_from: datetime.datetime | None = None
    raised_to: datetime.datetime | None = None
    event_from: datetime.datetime | None = None
    event_to: datetime.datetime | None = None
    newest_first: bool = True

    def matches(self, alarm: IfaAlarm) -> bool:
        """Tell whether *alarm* is asked for."""
        kind = alarm.faulty_resource.kind if alarm.faulty_resource is not None else None
        fault_types = self.fault_types
        return (
            alarm.state in self.states
            and (not self.severities or alarm.perceived_severity in self.severities)
            and (self.min_severity is None or alarm.perceived_severity.rank > self.min_severity)
            and (not fault_types or any(matches_glob(alarm.fault_type, one) for one in fault_types))
            and (not self.resource_kinds or kind in self.resource_kinds)
            and (self.event_from is None or alarm.event_time >= self.event_from)
            and (self.event_to is None or alarm.event_time <= self.event_to)
        )

    def wanted(self, project_id: str | None, settings: Settings) -> Wanted:
        """Return what the database is asked for; nothing that matches is missed."""
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
            severities=severities(asked, settings) if asked != frozenset(Severity) else None,
            newest_first=self.newest_first,
            fault_types=self._fault_types(settings),
        )

    def _fault_types(self, settings: Settings) -> tuple[FaultTypes, ...]:
        found = []
        simple = all("[" not in one and one.count("*") <= MOST_WILDCARDS for one in self.fault_types)
        if self.fault_types and simple:
            found.append(FaultTypes(tuple((pattern, True) for pattern in self.fault_types)))
        if self.resource_kinds:
            found += _by_kind(settings, self.resource_kinds.__contains__)
        return tuple(found)


def sol003_wanted(
    asked: Filter, project_id: str | None, settings: Settings, cleared_since: datetime.datetime
) -> Wanted:
    """Return what the database is asked for by an attribute filter; nothing that passes it is missed."""
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
        severities=severities(kept, settings) if kept != frozenset(Severity) else None,
        ids=bounds(asked, ("id",)).values,
        acknowledged=_acknowledged(asked),
        fault_types=_fault_types(asked, settings),
    )


def _acknowledged(asked: Filter) -> bool | None:
    possible = [state for state in AckState if asked.lets(("ackState",), state.value)]
    return possible[0] is AckState.ACKNOWLEDGED if len(possible) == 1 else None


def _fault_types(asked: Filter, settings: Settings) -> tuple[FaultTypes, ...]:
    """Return what the expressions on causes, kinds of resources and fault types leave of the last."""
    found: list[FaultTypes] = []
    if asked.names(EVENT_TYPE):
        found += _by_cause(settings, lambda cause: asked.lets(EVENT_TYPE, cause.event_type.value))
    if asked.names(PROBABLE_CAUSE):
        found += _by_cause(settings, lambda cause: asked.lets(PROBABLE_CAUSE, cause.probable_cause))
    # Both follow the cause that an event itself may name.
    found = [dataclasses.replace(one, or_trait="probable_cause") for one in found]
    if asked.names(RESOURCE_TYPE):
        found += _by_kind(settings, lambda kind: asked.lets(RESOURCE_TYPE, kind.value))
    exact = bounds(asked, ("faultType",)).values
    if exact is not None and not any(map(is_glob, exact)):
        found.append(FaultTypes(tuple((one, True) for one in sorted(exact))))
    return tuple(found)


def _by_cause(settings: Settings, lets: Callable[[Cause], bool]) -> list[FaultTypes]:
    return _table([(line.pattern, lets(line)) for line in settings.causes], otherwise=lets(NO_CAUSE))


def _by_kind(settings: Settings, lets: Callable[[ResourceKind], bool]) -> list[FaultTypes]:
    lines = [(line.pattern, line.kind is not None and lets(line.kind)) for line in settings.families]
    # The kind of what a threshold alarm watches is not in its fault type.
    return _table([("aodh.*", True), *lines])


def _table(lines: list[tuple[str, bool]], *, otherwise: bool = False) -> list[FaultTypes]:
    """Return the filter of a table; none where a database cannot tell what its patterns fit."""
    if any("[" in pattern for pattern, _ in lines):
        return []
    return [FaultTypes(tuple(lines), otherwise)]


def _objects(asked: Filter) -> frozenset[str] | None:
    named = bounds(asked, ("managedObjectId",)).values
    handle = bounds(asked, ("rootCauseFaultyResource", "faultyResource", "resourceId")).values
    if named is None or handle is None:
        return named if handle is None else handle
    return named & handle


def sol003_matches(asked: Filter, settings: Settings) -> Matches:
    """Return the exact test of an attribute filter."""
    connection = settings.vim_connection_id
    return lambda alarm: asked(as_sol003(alarm, vim_connection_id=connection))
