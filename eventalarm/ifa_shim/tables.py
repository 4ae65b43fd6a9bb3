"""The tables of the mapping: severities, kinds of resources, probable causes, in the words of X.733."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from eventalarm.exceptions import InvalidOption
from eventalarm.ifa_shim.alarm import Severity
from eventalarm.model import DEFAULT_SEVERITIES, RESOURCE_TRAITS, severity_word
from eventalarm.patterns import matches_glob
from eventalarm.x733 import EventType, ResourceKind

# Event type (glob), kind, Heat's resource type, the traits that name the resource; "-" is none. The first
# matching line counts. Threshold alarms are matched as "gnocchi." and the resource type of their rule.
RESOURCES: Final = (
    "compute.instance.* COMPUTE OS::Nova::Server instance_id,resource_id",
    "volume.* STORAGE OS::Cinder::Volume resource_id",
    "snapshot.* STORAGE OS::Cinder::Snapshot resource_id",
    "share.* STORAGE OS::Manila::Share share_id,resource_id",
    "network.* NETWORK OS::Neutron::Net resource_id",
    "subnet.* NETWORK OS::Neutron::Subnet resource_id",
    "port.* NETWORK OS::Neutron::Port resource_id",
    "router.* NETWORK OS::Neutron::Router resource_id",
    "floatingip.* NETWORK OS::Neutron::FloatingIP resource_id",
    "octavia.loadbalancer.* NETWORK OS::Octavia::LoadBalancer resource_id",
    "magnum.cluster.* - - target_id,resource_id",
    "orchestration.stack.* - - resource_id",
    "image.* - - resource_id",
    "compute.* COMPUTE - -",
    "host.* COMPUTE - -",
    "gnocchi.instance COMPUTE OS::Nova::Server -",
    "gnocchi.instance_* COMPUTE - -",
    "gnocchi.volume STORAGE OS::Cinder::Volume -",
    "gnocchi.network NETWORK OS::Neutron::Net -",
    "gnocchi.port NETWORK OS::Neutron::Port -",
    "aodh.loadbalancer_member_health NETWORK OS::Octavia::Pool -",
)

# Fault type (glob), event type, probable cause. The first matching line counts.
CAUSES: Final = (
    "*.quota* PROCESSING_ERROR_ALARM storageCapacityProblem",
    "*.full* PROCESSING_ERROR_ALARM storageCapacityProblem",
    "compute.instance.* PROCESSING_ERROR_ALARM underlyingResourceUnavailable",
    "volume.* PROCESSING_ERROR_ALARM underlyingResourceUnavailable",
    "snapshot.* PROCESSING_ERROR_ALARM underlyingResourceUnavailable",
    "network.switch.port* COMMUNICATIONS_ALARM lossOfSignal",
    "network.switch.* EQUIPMENT_ALARM equipmentMalfunction",
    "port.* COMMUNICATIONS_ALARM communicationsSubsystemFailure",
    "network.* COMMUNICATIONS_ALARM communicationsSubsystemFailure",
    "router.* COMMUNICATIONS_ALARM communicationsSubsystemFailure",
    "floatingip.* COMMUNICATIONS_ALARM communicationsSubsystemFailure",
    "octavia.* COMMUNICATIONS_ALARM communicationsSubsystemFailure",
    "compute.host.processor* EQUIPMENT_ALARM processorProblem",
    "compute.host.memory* EQUIPMENT_ALARM equipmentMalfunction",
    "compute.host.nic* EQUIPMENT_ALARM adapterError",
    "compute.host.disk* EQUIPMENT_ALARM inputOutputDeviceError",
    "compute.host.power* EQUIPMENT_ALARM powerProblem",
    "compute.host.thermal* ENVIRONMENTAL_ALARM temperatureUnacceptable",
    "compute.host.fan* ENVIRONMENTAL_ALARM heatingVentCoolingSystemProblem",
    "compute.host.os* PROCESSING_ERROR_ALARM softwareProgramAbnormallyTerminated",
    "compute.host.hypervisor* PROCESSING_ERROR_ALARM underlyingResourceUnavailable",
    "compute.host.* EQUIPMENT_ALARM equipmentMalfunction",
    "compute.libvirt.* PROCESSING_ERROR_ALARM underlyingResourceUnavailable",
    "service.* PROCESSING_ERROR_ALARM underlyingResourceUnavailable",
    "maintenance.* PROCESSING_ERROR_ALARM underlyingResourceUnavailable",
    "baremetal.* EQUIPMENT_ALARM equipmentMalfunction",
    "compute.cpu.* EQUIPMENT_ALARM processorProblem",
    "compute.memory.* EQUIPMENT_ALARM equipmentMalfunction",
    "*.link.* COMMUNICATIONS_ALARM lossOfSignal",
    "hardware.nic.* EQUIPMENT_ALARM adapterError",
    "hardware.disk.* EQUIPMENT_ALARM inputOutputDeviceError",
    "hardware.power.* EQUIPMENT_ALARM powerProblem",
    "hardware.temperature* ENVIRONMENTAL_ALARM temperatureUnacceptable",
    "hardware.fan* ENVIRONMENTAL_ALARM heatingVentCoolingSystemProblem",
    "hardware.ipmi.temperature* ENVIRONMENTAL_ALARM temperatureUnacceptable",
    "hardware.ipmi.fan* ENVIRONMENTAL_ALARM heatingVentCoolingSystemProblem",
    "hardware.ipmi.power* EQUIPMENT_ALARM powerProblem",
    "hardware.ipmi.voltage* EQUIPMENT_ALARM powerProblem",
    "hardware.ipmi.current* EQUIPMENT_ALARM powerProblem",
    "hardware.* EQUIPMENT_ALARM equipmentMalfunction",
    "host.* EQUIPMENT_ALARM equipmentMalfunction",
    "aodh.loadbalancer_member_health* COMMUNICATIONS_ALARM communicationsSubsystemFailure",
    "aodh.gnocchi_* QOS_ALARM thresholdCrossed",
    "aodh.prometheus* QOS_ALARM thresholdCrossed",
    "aodh.composite* QOS_ALARM thresholdCrossed",
    "* PROCESSING_ERROR_ALARM applicationSubsystemFailure",
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
    kind: ResourceKind | None
    type: str
    traits: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """One line of the causes table."""

    pattern: str
    event_type: EventType
    probable_cause: str


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
    if kind != "-" and kind not in ResourceKind.__members__:
        raise InvalidOption("resources", f"unknown kind {kind!r}", f"use {', '.join(ResourceKind)} or -")
    return Family(
        pattern,
        None if kind == "-" else ResourceKind(kind),
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

    ``hold_down`` is seconds: a raise within them after a clear continues the earlier occurrence.
    """

    severities: Mapping[str, Severity] = dataclasses.field(
        default_factory=lambda: read_severities("severities", DEFAULT_SEVERITIES)
    )
    undefined_severity: Severity = Severity.MINOR
    severity_overrides: Mapping[str, Severity] = dataclasses.field(default_factory=dict)
    families: tuple[Family, ...] = tuple(map(read_family, RESOURCES))
    causes: tuple[Cause, ...] = tuple(map(read_cause, CAUSES))
    traits: tuple[str, ...] = RESOURCE_TRAITS
    insufficient_data: InsufficientData = InsufficientData.INDETERMINATE
    repeat_is_change: bool = False
    hold_down: float = 0.0
    vim_connection_id: str = ""

    @functools.cached_property
    def places(self) -> Mapping[str, int]:
        """Every trait that may name a resource, with its rank: the generic ones first, in their order."""
        named = [*self.traits, *(name for family in self.families for name in family.traits)]
        return {name: place for place, name in enumerate(dict.fromkeys(named))}

    def severity(self, aodh: str | None) -> Severity:
        """Return the severity of an active alarm, from Aodh's word or from one of X.733 itself."""
        word = aodh or ""
        known = self.severities.get(word.lower())
        standard = severity_word(word) if known is None else None
        return known or (Severity(standard) if standard else self.undefined_severity)

    def override(self, *names: str) -> Severity | None:
        """Return the severity that the operator set for one of *names* (alarm name, fault type), or None."""
        for pattern, severity in self.severity_overrides.items():
            if any(matches_glob(name, pattern) for name in names):
                return severity
        return None

    def family(self, fault_type: str) -> Family | None:
        """Return the first matching line of the resources table, or None."""
        return _first(self.families, fault_type)

    def cause(self, fault_type: str) -> Cause:
        """Return the first matching line of the causes table, or the default."""
        return _first(self.causes, fault_type) or NO_CAUSE


def _first(lines: Iterable[Line], name: str) -> Line | None:
    return next((line for line in lines if matches_glob(name, line.pattern)), None)
