"""Folds the active alarms of a resource into one state, as OPNFV Doctor's VirtualResourceState has it. Pure.

The state is the first of these that holds:

* ``maintenance``: planned maintenance inhibits the alarms on the resource, or an active alarm is about
  planned maintenance (the entries :data:`MAINTENANCE_FAULTS` of the fault catalogue);
* ``down``: an active alarm is about a service-affecting fault that is CRITICAL, by its perceived severity or
  by the fault catalogue, or whose event says that the resource is down (trait ``state`` or ``status``);
* ``error``: any other active alarm is about a service-affecting fault, or is MAJOR or CRITICAL;
* ``normal``.

Whether a fault affects the service is said by the fault catalogue; a fault that it does not know does not.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Iterable, Sequence
from typing import Final

from eventalarm.catalogue.faults import Fault, FaultCatalogue
from eventalarm.ifa_shim.alarm import Document, FaultyResource, IfaAlarm, Severity, rfc3339
from eventalarm.ifa_shim.fault_details import STATE_CHANGE
from eventalarm.storage.maintenance import Inhibition

MAINTENANCE_FAULTS: Final = frozenset({"maintenance-planned", "maintenance-instance", "maintenance-host"})
DOWN_TRAITS: Final = ("trait.state", "trait.status")
INHIBITED_BY: Final = "inhibitedBy"


class ResourceState(enum.StrEnum):
    """The state of a resource, the most important first."""

    MAINTENANCE = "maintenance"
    DOWN = "down"
    ERROR = "error"
    NORMAL = "normal"


STATES: Final = tuple(ResourceState)


@dataclasses.dataclass(frozen=True, slots=True)
class ResourceStatus:
    """A resource with its active alarms, the oldest first.

    ``since`` is when the oldest cause of its state began (aware UTC): an alarm, or the inhibition; None if
    there is none. ``inhibited_by`` is the session of planned maintenance that inhibits its alarms, or empty.
    """

    resource_id: str
    state: ResourceState
    since: datetime.datetime | None
    alarms: tuple[IfaAlarm, ...] = ()
    inhibited_by: str = ""

    @property
    def severity(self) -> Severity | None:
        """The worst perceived severity of the active alarms."""
        return max((one.perceived_severity for one in self.alarms), key=lambda s: s.rank, default=None)

    @property
    def resource(self) -> FaultyResource | None:
        """The resource with its kind, if one of the alarms tells."""
        return next((one.faulty_resource for one in self.alarms if one.faulty_resource is not None), None)


def state_by(alarm: IfaAlarm, catalogue: FaultCatalogue) -> ResourceState:
    """Return the state that one active alarm gives its resource."""
    if alarm.detail(INHIBITED_BY) or alarm.fault_type == STATE_CHANGE or alarm.fault in MAINTENANCE_FAULTS:
        return ResourceState.MAINTENANCE
    down = any(alarm.detail(name).lower() == "down" for name in DOWN_TRAITS)
    return state_by_fault(catalogue.get(alarm.fault), alarm.perceived_severity, down=down)


def state_by_fault(fault: Fault | None, severity: Severity | None, *, down: bool = False) -> ResourceState:
    """Return the state of a resource with a fault, by the catalogue's entry and its perceived severity.

    :param down: its event says that the resource is down.
    """
    affecting = fault is not None and fault.service_affecting
    critical = Severity.CRITICAL in (severity, fault.severity if fault is not None else None)
    if affecting and (critical or down):
        return ResourceState.DOWN
    if affecting or (severity is not None and severity.rank >= Severity.MAJOR.rank):
        return ResourceState.ERROR
    return ResourceState.NORMAL


def status_of(
    resource_id: str,
    alarms: Iterable[IfaAlarm],
    inhibitions: Sequence[Inhibition],
    catalogue: FaultCatalogue,
) -> ResourceStatus:
    """Return the status of a resource by its active *alarms*, and by the inhibitions that stand."""
    ordered = tuple(sorted(alarms, key=lambda one: (one.raised_time, one.alarm_id)))
    causes = [(state_by(one, catalogue), one.raised_time) for one in ordered]
    causes += [(ResourceState.MAINTENANCE, one.since) for one in inhibitions]
    state = min((state for state, _ in causes), key=STATES.index, default=ResourceState.NORMAL)
    sessions = [one.session_id for one in sorted(inhibitions, key=lambda one: one.since)]
    sessions += [session for one in ordered if (session := one.detail(INHIBITED_BY))]
    since = min((at for one, at in causes if one is state), default=None)
    return ResourceStatus(resource_id, state, since, ordered, next(iter(sessions), ""))


def as_document(status: ResourceStatus) -> Document:
    """Return the JSON of a resource; attributes without a value are left out."""
    resource, severity = status.resource, status.severity
    found = {
        "managedObjectId": status.resource_id,
        "state": status.state.value,
        "since": rfc3339(status.since) if status.since is not None else None,
        "perceivedSeverity": severity.value if severity is not None else None,
        "alarmIds": [one.alarm_id for one in status.alarms],
        "faultyResourceType": resource.kind.value if resource is not None else None,
        "vimLevelResourceType": resource.type or None if resource is not None else None,
        "inhibitedBy": status.inhibited_by or None,
        "projectIds": sorted({one.project_id for one in status.alarms}),
    }
    return {name: value for name, value in found.items() if value is not None}
