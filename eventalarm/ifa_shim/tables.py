"""The tables of the mapping: severities, kinds of resources, and probable causes (X.733)."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from eventalarm.catalogue.dictionary import fault_types
from eventalarm.catalogue.fault_files import load_shipped
from eventalarm.catalogue.faults import REMEMBERED, Fault, FaultCatalogue
from eventalarm.exceptions import InvalidOption
from eventalarm.ifa_shim.alarm import Severity
from eventalarm.model import DEFAULT_SEVERITIES, RESOURCE_TRAITS, Event, severity_word
from eventalarm.patterns import matches_glob
from eventalarm.x733 import EventType, FaultyResourceType

# What is no event: threshold alarms are matched as "gnocchi." and the resource type of their rule, and as
# "aodh." and their type. Events are described by the fault catalogue.
# Pattern, kind, Heat's resource type, the traits that name the resource; "-" is none.
RESOURCES: Final = (
    "gnocchi.instance COMPUTE OS::Nova::Server -",
    "gnocchi.instance_* COMPUTE - -",
    "gnocchi.volume STORAGE OS::Cinder::Volume -",
    "gnocchi.network NETWORK OS::Neutron::Net -",
    "gnocchi.port NETWORK OS::Neutron::Port -",
    "aodh.loadbalancer_member_health NETWORK OS::Octavia::Pool -",
)

# Pattern, event type, probable cause.
CAUSES: Final = (
    "aodh.loadbalancer_member_health* COMMUNICATIONS_ALARM communicationsSubsystemFailure",
    "aodh.gnocchi_* QOS_ALARM thresholdCrossed",
    "aodh.prometheus* QOS_ALARM thresholdCrossed",
    "aodh.composite* QOS_ALARM thresholdCrossed",
)


class InsufficientData(enum.StrEnum):
    """How a raised alarm with ``insufficient data`` is shown."""

    INDETERMINATE = "indeterminate"
    KEEP = "keep"
    CLEAR = "clear"


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """One line of the resources table."""

    pattern: str
    kind: FaultyResourceType | None
    type: str
    traits: tuple[str, ...]

    @classmethod
    def of(cls, fault: Fault) -> Family:
        """Return what the fault catalogue says of the managed object."""
        return cls(fault.name, fault.resource_kind, fault.resource_type, fault.resource_traits)


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """One line of the causes table."""

    pattern: str
    event_type: EventType
    probable_cause: str

    @classmethod
    def of(cls, fault: Fault) -> Cause:
        """Return what the fault catalogue says of the cause."""
        return cls(fault.name, fault.event_type, fault.probable_cause)


@dataclasses.dataclass(frozen=True, slots=True)
class Naming:
    """How the alarm of an event is named: by the operator's tables first, then by the fault catalogue."""

    fault_type: str
    cause: Cause
    family: Family | None
    fault: Fault | None


Line = TypeVar("Line", Family, Cause)
NO_CAUSE: Final = Cause("*", EventType.PROCESSING_ERROR, "applicationSubsystemFailure")


def _words(option: str, line: str, count: int) -> list[str]:
    words = line.split()
    if len(words) != count:
        raise InvalidOption(
            option, f"{line!r} has {len(words)} words", f"must be {count} words, see the help"
        )
    return words


def read_family(line: str) -> Family:
    """Read one line of the resources table.

    :raises InvalidOption: when it is not a valid line.
    """
    pattern, kind, type_name, traits = _words("resources", line, 4)
    if kind != "-" and kind not in FaultyResourceType.__members__:
        raise InvalidOption(
            "resources", f"unknown kind {kind!r}", f"use {', '.join(FaultyResourceType)} or -"
        )
    return Family(
        pattern,
        None if kind == "-" else FaultyResourceType(kind),
        "" if type_name == "-" else type_name,
        () if traits == "-" else tuple(traits.split(",")),
    )


def read_cause(line: str) -> Cause:
    """Read one line of the causes table.

    :raises InvalidOption: when it is not a valid line.
    """
    pattern, event_type, cause = _words("causes", line, 3)
    if event_type not in set(EventType):
        raise InvalidOption("causes", f"unknown event type {event_type!r}", f"use {', '.join(EventType)}")
    return Cause(pattern, EventType(event_type), cause)


def read_severities(option: str, table: Mapping[str, str]) -> dict[str, Severity]:
    """Return a table whose values are severities; keys are kept as they are.

    :raises InvalidOption: naming *option*, when a value is not the severity of an active alarm.
    """
    usable = [s for s in Severity if s is not Severity.CLEARED]
    for word in table.values():
        if word not in usable:
            raise InvalidOption(option, f"unknown severity {word!r}", f"use {', '.join(usable)}")
    return {key: Severity(word) for key, word in table.items()}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything about the mapping that an operator can set; the defaults are the documented ones.

    ``families`` and ``causes`` are lines that count before the fault catalogue, ``faults``. Without an
    ``undefined_severity`` the severity of the catalogue counts where an alarm has none.
    ``hold_down`` is seconds: a raise within them after a clear continues the earlier occurrence.
    """

    severities: Mapping[str, Severity] = dataclasses.field(
        default_factory=lambda: read_severities("severities", DEFAULT_SEVERITIES)
    )
    undefined_severity: Severity | None = Severity.MINOR
    severity_overrides: Mapping[str, Severity] = dataclasses.field(default_factory=dict)
    families: tuple[Family, ...] = tuple(map(read_family, RESOURCES))
    causes: tuple[Cause, ...] = tuple(map(read_cause, CAUSES))
    faults: FaultCatalogue = dataclasses.field(default_factory=load_shipped)
    traits: tuple[str, ...] = RESOURCE_TRAITS
    insufficient_data: InsufficientData = InsufficientData.INDETERMINATE
    repeat_is_change: bool = False
    hold_down: float = 0.0
    vim_connection_id: str = ""

    def places(self, event_types: Iterable[str]) -> Mapping[str, int]:
        """Every trait that may name the resource of such events, with its rank: the generic ones first."""
        known = [family for one in event_types if (family := self.naming(one).family) is not None]
        named = [name for family in (*self.families, *known) for name in family.traits]
        return {name: place for place, name in enumerate(dict.fromkeys([*self.traits, *named]))}

    def severity(self, aodh: str | None, fault: Fault | None = None) -> Severity:
        """Return the severity of an active alarm, from Aodh's word or from one of X.733 itself."""
        word = aodh or ""
        known = self.severities.get(word.lower())
        standard = severity_word(word) if known is None else None
        return known or (Severity(standard) if standard else self._undefined(fault))

    def _undefined(self, fault: Fault | None) -> Severity:
        if self.undefined_severity is not None:
            return self.undefined_severity
        return Severity(fault.severity) if fault is not None else Severity.MINOR

    def override(self, *names: str) -> Severity | None:
        """Return the severity that the operator set for one of *names* (alarm name, fault type), or None."""
        for pattern, severity in self.severity_overrides.items():
            if any(matches_glob(name, pattern) for name in names):
                return severity
        return None

    def naming(self, event_type: str, traits: Mapping[str, Any] | None = None) -> Naming:
        """Return how an alarm that such an event raised is named; *traits* None: they are unknown."""
        fault = self.faults.find(event_type, traits)
        fault_type = fault.fault_type_of(event_type) if fault is not None else event_type
        cause, family = self._lines(event_type, fault_type)
        if fault is None:
            return Naming(fault_type, cause or NO_CAUSE, family, fault)
        return Naming(fault_type, cause or Cause.of(fault), family or Family.of(fault), fault)

    @functools.cached_property
    def _lines(self) -> Callable[[str, str], tuple[Cause | None, Family | None]]:
        """The lines that fit the type of an event or its fault type."""

        @functools.lru_cache(maxsize=REMEMBERED)
        def fitting(event_type: str, fault_type: str) -> tuple[Cause | None, Family | None]:
            names = (event_type, fault_type)
            return _first(self.causes, names), _first(self.families, names)

        return fitting

    def naming_of(self, event: Event) -> Naming:
        """Return how an alarm that *event* raised is named."""
        asked = self.faults.traits_asked(event.event_type)
        return self.naming(event.event_type, {name: event.trait(name) for name in asked})

    def adapted(self, fault: Fault) -> Fault:
        """Return an entry of the catalogue as the operator's tables and severities change it."""
        names = fault_types(fault)
        cause = _first(self.causes, names) or Cause.of(fault)
        family = _first(self.families, names) or Family.of(fault)
        return dataclasses.replace(
            fault,
            event_type=cause.event_type,
            probable_cause=cause.probable_cause,
            resource_kind=family.kind,
            resource_type=family.type,
            resource_traits=family.traits,
            severity=(self.override(*names) or Severity(fault.severity)).value,
        )


def _first(lines: Iterable[Line], names: Iterable[str]) -> Line | None:
    """Return the first line that fits one of *names*."""
    return next((line for line in lines if any(matches_glob(name, line.pattern) for name in names)), None)
