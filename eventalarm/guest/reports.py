"""The events of the monitor: what is sent to the ingest API, and how a guest's state is stored. Pure."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from typing import Any, Final

from eventalarm.guest.metadata import GuestSettings
from eventalarm.guest.tracker import Change, Check, GuestState
from eventalarm.model import DATETIME, INTEGER, STRING, JSONDict, format_time, make_body, parse_time

# Namespace of the ids of these events. Never change it: a repeated event must get the same id.
NAMESPACE: Final = uuid.UUID("c1b2c5f0-7a31-5d0e-9b5c-6f2f4a0d7e18")
BEAT: Final = "guest.monitor.beat"
# The types of the events at the beginning and at the end of each fault.
TYPES: Final[Mapping[Check, tuple[str, str]]] = {
    Check.AGENT: ("guest.heartbeat.lost", "guest.heartbeat.restored"),
    Check.HEALTH: ("health.guest", "health.guest"),
    Check.CRASH: ("guest.crashed", "guest.started"),
    Check.WATCHDOG: ("guest.watchdog.fired", "guest.watchdog.cleared"),
    Check.DISK: ("guest.disk.failed", "guest.disk.recovered"),
}


def event_of(change: Change, guest: GuestSettings, host: str) -> JSONDict:
    """Return the event of a change, for the owner of the guest; the same change has the same id."""
    traits: dict[str, tuple[int, Any]] = {
        "project_id": (STRING, guest.project_id),
        "tenant_id": (STRING, guest.project_id),
        "resource_id": (STRING, guest.instance_id),
        "instance_id": (STRING, guest.instance_id),
        "display_name": (STRING, guest.name),
        "host": (STRING, host),
        "hostname": (STRING, host),
        "check": (STRING, change.check.value),
        "state": (STRING, "failed" if change.failed else "ok"),
        "status": (STRING, "failed" if change.failed else "ok"),
        "severity": (STRING, change.severity if change.failed else ""),
        "reason": (STRING, change.reason),
        "since": (DATETIME, format_time(change.since)),
    }
    for name, value in change.details.items():
        traits[name] = _typed(value)
    kind = TYPES[change.check][0 if change.failed else 1]
    listed = ((name, dtype, value) for name, (dtype, value) in traits.items() if value not in ("", None))
    about = "/".join((guest.instance_id, change.check.value, str(change.failed), change.at.isoformat()))
    return make_body(str(uuid.uuid5(NAMESPACE, about)), kind, format_time(change.at), listed)


def _typed(value: Any) -> tuple[int, Any]:
    if isinstance(value, datetime.datetime):
        return DATETIME, format_time(value)
    return (INTEGER, value) if isinstance(value, int) else (STRING, str(value))


def beat(host: str, at: datetime.datetime, counts: Mapping[str, int], problem: str) -> JSONDict:
    """Return the beat of the monitor, which belongs to no project.

    :param counts: such as ``guests`` and ``lost``; each becomes a trait.
    :param problem: why guests cannot be watched; empty if they can.
    """
    traits: list[tuple[str, int, Any]] = [
        ("resource_id", STRING, host),
        ("host", STRING, host),
        ("hostname", STRING, host),
        ("state", STRING, "failed" if problem else "ok"),
        ("status", STRING, "failed" if problem else "ok"),
        *((name, INTEGER, number) for name, number in counts.items()),
    ]
    if problem:
        traits += [("reason", STRING, problem), ("severity", STRING, "major")]
    identity = str(uuid.uuid5(NAMESPACE, f"{BEAT}/{host}/{at.isoformat()}"))
    return make_body(identity, BEAT, format_time(at), traits)


def state_to_json(state: GuestState, guest: GuestSettings) -> JSONDict:
    """Return what must survive a restart of the monitor."""
    return {
        "project_id": guest.project_id,
        "name": guest.name,
        "domain": guest.domain,
        "answered": state.answered,
        "started": state.started.isoformat(),
        "last_seen": state.last_seen.isoformat() if state.last_seen else None,
        "faults": {
            check.value: {"since": since.isoformat(), "severity": state.severities.get(check, "")}
            for check, since in state.faults.items()
        },
    }


def state_from_json(body: Mapping[str, Any]) -> GuestState:
    """Return the stored state.

    :raises (KeyError, TypeError, ValueError, AttributeError): when it is not one.
    """
    faults = {Check(name): one for name, one in body["faults"].items()}
    return GuestState(
        started=parse_time(body["started"]),
        answered=bool(body["answered"]),
        faults={check: parse_time(one["since"]) for check, one in faults.items()},
        severities={check: str(one["severity"]) for check, one in faults.items()},
        last_seen=parse_time(body["last_seen"]) if body["last_seen"] else None,
    )
