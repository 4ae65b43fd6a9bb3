"""The fault catalogue: what an event means to an operator, by its type and traits. Pure.

A fault is described once, whichever services report it: its name, its severity, what it affects, what to do,
and which events clear it. :mod:`eventalarm.catalogue.fault_files` reads the files.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from eventalarm.patterns import GLOB_CHARACTERS, matches_glob
from eventalarm.x733 import EventType, FaultyResourceType

# Senders choose the event types, so the cache of lookups is bounded.
REMEMBERED: Final = 4096


class FanOut(enum.StrEnum):
    """The part of the infrastructure that a fault affects: the owners of what uses it are notified."""

    NONE = "none"
    HOST = "host"
    HYPERVISOR = "hypervisor"
    SWITCH = "switch"


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """A condition on events: a pattern of the event type, and values of traits.

    ``traits`` holds pairs of a trait and patterns; its value must match one of them, ignoring case. Each
    trait must be present and match; without ``traits`` the condition holds for every event of the type.
    """

    event_type: str
    traits: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def holds(self, event_type: str, traits: Mapping[str, Any]) -> bool:
        """Return True if the condition holds for an event of this type with *traits* (values by name)."""
        return matches_glob(event_type, self.event_type) and self.fits(traits)

    def fits(self, traits: Mapping[str, Any]) -> bool:
        """Return True if *traits* meet the condition, whatever the event type is."""
        return all(_is_one_of(traits.get(name), patterns) for name, patterns in self.traits)

    @property
    def precision(self) -> tuple[bool, int]:
        """How few event types the pattern covers; the larger value is the more specific pattern."""
        literal = sum(character not in GLOB_CHARACTERS for character in self.event_type)
        return literal == len(self.event_type), literal

    def __str__(self) -> str:
        parts = [f"{name}={'|'.join(patterns)}" for name, patterns in self.traits]
        return f"{self.event_type} ({', '.join(parts)})" if parts else self.event_type


def _is_one_of(value: object, patterns: Sequence[str]) -> bool:
    if value is None:
        return False
    text = str(value).lower()
    return any(matches_glob(text, pattern.lower()) for pattern in patterns)


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One entry of the catalogue.

    :ivar name: unique; an entry of the same name in a deployer's file replaces it.
    :ivar fault_type: IFA's faultType; empty: the type of the event that reports the fault.
    :ivar reported_by: the events that report it.
    :ivar cleared_by: the events that clear it; if empty, an operator or a timer clears it.
    :ivar event_type: that of X.733, not the type of an event.
    :ivar resource_kind: the kind of the managed object, if SOL003 defines one.
    :ivar resource_type: Heat's name of the resource type, such as ``OS::Nova::Server``, or empty.
    :ivar resource_traits: the traits that name the managed object, in order of preference.
    :ivar severity: X.733's perceived severity if neither event nor alarm sets one.
    :ivar detected_by: how the fault is detected, as text.
    :ivar never_inhibited: maintenance does not hold back the notification, as it announces the maintenance.
    :ivar reference: the publication that the entry is taken from, or empty.
    :ivar file: the name of the file that the entry comes from.
    """

    name: str
    description: str
    reported_by: tuple[Condition, ...]
    event_type: EventType
    probable_cause: str
    severity: str
    service_affecting: bool
    repair_action: str
    detected_by: str
    resource_traits: tuple[str, ...]
    resource_kind: FaultyResourceType | None = None
    resource_type: str = ""
    fault_type: str = ""
    cleared_by: tuple[Condition, ...] = ()
    fan_out: FanOut = FanOut.NONE
    never_inhibited: bool = False
    reference: str = ""
    file: str = ""

    def fault_type_of(self, event_type: str) -> str:
        """Return IFA's faultType when an event of *event_type* reports it."""
        return self.fault_type or event_type

    def resource_of(self, traits: Mapping[str, Any]) -> str:
        """Return the managed object that the *traits* of an event name, or an empty string."""
        for name in self.resource_traits:
            value = traits.get(name)
            if value not in (None, ""):
                return str(value)
        return ""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A condition with its fault."""

    condition: Condition
    fault: Fault


class FaultCatalogue:
    """Finds the fault of an event: by the most specific pattern, then the most traits, then the first entry.

    :param faults: entries with distinct names, those of the deployer first.
    :ivar reports: all conditions under which faults are reported, in order of precedence; those of one
        pattern are adjacent.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults: Final = tuple(faults)
        self._by_name = {fault.name: fault for fault in self.faults}
        self.reports: Final = _ranked((one, fault) for fault in self.faults for one in fault.reported_by)
        clears = _ranked((one, fault) for fault in self.faults for one in fault.cleared_by)
        self._reports = _lookup(self.reports)
        self._clears = _lookup(clears)

    def find(self, event_type: str, traits: Mapping[str, Any] | None = None) -> Fault | None:
        """Return the fault that an event reports, or None.

        An event that clears a fault can match too: call :meth:`find_cleared` first.

        :param traits: the traits of the event by name, at least those that :meth:`traits_asked` returns. None
            if they are unknown: only the type is compared, and a condition without traits is preferred.
        """
        rows = self._reports(event_type)
        if traits is None:
            return next((row.fault for row in sorted(rows, key=lambda row: bool(row.condition.traits))), None)
        return next((row.fault for row in rows if row.condition.fits(traits)), None)

    def never_inhibited(self, event_type: str) -> bool:
        """Return True if maintenance never holds back notifications about events of this type."""
        return any(row.fault.never_inhibited for row in self._reports(event_type))

    def traits_asked(self, event_type: str) -> frozenset[str]:
        """Return the traits of an event of this type on which the result of :meth:`find` depends."""
        return frozenset(name for row in self._reports(event_type) for name, _ in row.condition.traits)

    def find_cleared(self, event_type: str, traits: Mapping[str, Any] | None = None) -> tuple[Fault, ...]:
        """Return the faults that an event clears: those with the most specific pattern; often none."""
        fitting = [row for row in self._clears(event_type) if row.condition.fits(traits or {})]
        best = fitting[0].condition.precision if fitting else None
        return tuple(dict.fromkeys(row.fault for row in fitting if row.condition.precision == best))

    def get(self, name: str) -> Fault | None:
        """Return the entry of that name, or None."""
        return self._by_name.get(name)


def _ranked(conditions: Iterable[tuple[Condition, Fault]]) -> tuple[Row, ...]:
    rows = [Row(condition, fault) for condition, fault in conditions]
    first: dict[str, int] = {}
    for place, row in enumerate(rows):
        first.setdefault(row.condition.event_type, place)

    def rank(row: Row) -> tuple[bool, int, int, int]:
        exact, literal = row.condition.precision
        return not exact, -literal, first[row.condition.event_type], -len(row.condition.traits)

    return tuple(sorted(rows, key=rank))


def _lookup(rows: tuple[Row, ...]) -> Callable[[str], tuple[Row, ...]]:
    """Return a function that maps an event type to the rows whose pattern matches, in order."""

    def fitting(event_type: str) -> tuple[Row, ...]:
        return tuple(row for row in rows if matches_glob(event_type, row.condition.event_type))

    return functools.lru_cache(maxsize=REMEMBERED)(fitting)
