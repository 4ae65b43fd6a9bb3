"""The events for the owners of affected resources. Pure: the same cause and resource give the same event."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from eventalarm.catalogue.faults import Fault
from eventalarm.inspector.reports import FAULT_ID, RESOURCE_IDS
from eventalarm.model import (
    STRING,
    InfrastructureFault,
    JSONDict,
    Resource,
    ResourceKind,
    format_time,
    make_body,
)
from eventalarm.patterns import GLOB_CHARACTERS

# Namespace of the ids of published events. Never change it: a report that is delivered again keeps them.
EVENTS: Final = uuid.UUID("c8b1f0de-0a0a-5a5e-9a43-6a4a2f6f9d0e")
IS_ROOT_CAUSE: Final = "is_root_cause"
STATUS: Final = "status"
# Traits that are set for each owner; in the cause they describe something else.
REPLACED: Final = frozenset(
    {"resource_id", "project_id", "tenant_id", "caller_project_id", "user_id", "server_group"}
    | {"device_id", FAULT_ID, IS_ROOT_CAUSE, *RESOURCE_IDS}
)
ID_TRAITS: Final[Mapping[ResourceKind, str]] = {
    ResourceKind.SERVER: "instance_id",
    ResourceKind.PORT: "port_id",
    ResourceKind.VOLUME: "volume_id",
}


def event_id(cause: str, resource_id: str) -> str:
    """Return the message id of the event that is published for a resource because of the event *cause*."""
    return str(uuid.uuid5(EVENTS, f"{cause}/{resource_id}"))


def raised_events(entry: Fault, fault: InfrastructureFault, resources: Sequence[Resource]) -> list[JSONDict]:
    """Return the host's own event, marked as the root cause, and one event for each affected resource.

    Every owner's event has the fault type of the catalogue as its event type, whichever service reported the
    fault. The host's event keeps its message id, so that it does not fire an alarm twice.
    """
    return [_root(fault.body, fault.fault_id), *arrived_events(entry, fault, resources)]


def arrived_events(entry: Fault, fault: InfrastructureFault, resources: Sequence[Resource]) -> list[JSONDict]:
    """Return an event for each resource that was found to be affected after the fault was reported."""
    named = entry.fault_type_of(str(fault.body["event_type"]))
    body = _with_status({**fault.body, "event_type": named}, "down", replace=False)
    return [
        _affected(body, one, fault.fault_id, event_id(fault.fault_id, one.resource_id)) for one in resources
    ]


def cleared_events(
    entry: Fault, clearing: InfrastructureFault, fault_id: str, resources: Sequence[Resource]
) -> list[JSONDict]:
    """Return the host's own event and one event for each resource that is no longer affected.

    :param clearing: the end of the fault as reported.
    :param fault_id: the message id of the event that reported the fault.
    """
    body = _cleared_body(entry, clearing.body)
    cause = clearing.fault_id
    ends = [_affected(body, one, fault_id, event_id(cause, one.resource_id)) for one in resources]
    return [_root(clearing.body, fault_id), *ends]


def left_events(
    entry: Fault, fault: InfrastructureFault, resources: Sequence[Resource], at: datetime.datetime
) -> list[JSONDict]:
    """Return an event for each resource that now runs elsewhere and so is no longer affected.

    Empty for a fault that no event clears. *at* is the time of the events (aware UTC).
    """
    if not entry.cleared_by:
        return []
    body = _cleared_body(entry, {**fault.body, "event_type": ""})
    if not body["event_type"]:
        body["event_type"] = entry.fault_type_of(str(fault.body["event_type"]))
    body["generated"] = format_time(at)
    cause = f"{fault.fault_id}/left"
    return [_affected(body, one, fault.fault_id, event_id(cause, one.resource_id)) for one in resources]


def owned_event(body: JSONDict, resource: Resource) -> JSONDict:
    """Return a copy of an event about a resource, with the owner of the resource.

    It is marked as the root cause, since it is about the same fault as the original.
    """
    cause = str(body["message_id"])
    added = {
        "project_id": resource.project_id,
        "tenant_id": resource.project_id,
        FAULT_ID: cause,
        IS_ROOT_CAUSE: "True",
    }
    return _with_traits({**body, "message_id": event_id(cause, resource.resource_id)}, _traits(body), added)


def _root(body: JSONDict, fault_id: str) -> JSONDict:
    return _with_traits(body, _traits(body), {FAULT_ID: fault_id, IS_ROOT_CAUSE: "True"})


def _affected(body: JSONDict, resource: Resource, fault_id: str, message_id: str) -> JSONDict:
    traits = {name: value for name, value in _traits(body).items() if name not in REPLACED}
    added = {
        "project_id": resource.project_id,
        "tenant_id": resource.project_id,
        "resource_id": resource.resource_id,
        ID_TRAITS[resource.kind]: resource.resource_id,
        FAULT_ID: fault_id,
        IS_ROOT_CAUSE: "False",
    }
    if resource.device_id:
        added["device_id"] = resource.device_id
    return _with_traits({**body, "message_id": message_id}, traits, added)


def _cleared_body(entry: Fault, body: JSONDict) -> JSONDict:
    """Return the event that ends the fault by the catalogue: of its first literal type, if it names one."""
    for condition in entry.cleared_by:
        if GLOB_CHARACTERS.isdisjoint(condition.event_type):
            wanted = dict(condition.traits).get(STATUS, ("up",))[0]
            return _with_status({**body, "event_type": condition.event_type}, wanted, replace=True)
    return _with_status(body, "up", replace=True)


def _with_status(body: JSONDict, status: str, *, replace: bool) -> JSONDict:
    traits = _traits(body)
    if STATUS in traits and not replace:
        return body
    return _with_traits(body, traits, {STATUS: status})


def _traits(body: JSONDict) -> dict[str, tuple[Any, Any]]:
    listed = (one for one in body.get("traits") or () if isinstance(one, list | tuple) and len(one) == 3)
    return {one[0]: (one[1], one[2]) for one in listed if isinstance(one[0], str)}


def _with_traits(body: JSONDict, traits: Mapping[str, tuple[Any, Any]], added: Mapping[str, str]) -> JSONDict:
    merged = {**traits, **{name: (STRING, value) for name, value in added.items()}}
    listed = ((name, dtype, value) for name, (dtype, value) in merged.items())
    return make_body(body["message_id"], body["event_type"], body.get("generated"), listed)
