"""What an event of libvirt means for a guest. Pure: the numbers are those of libvirt's public headers."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, Final

# virDomainEventType
UNDEFINED, STARTED, SUSPENDED, RESUMED, STOPPED, PMSUSPENDED, CRASHED = 1, 2, 3, 4, 5, 7, 8
# virDomainEventStoppedDetailType
STOPPED_REASONS: Final = {
    0: "the guest was shut down",
    1: "the guest was stopped",
    2: "the guest crashed",
    3: "the guest was migrated",
    4: "the guest was suspended to disk",
    5: "the hypervisor process of the guest ended unexpectedly",
    6: "the guest was reverted to a snapshot",
}
CRASHES: Final = frozenset({2, 5})
# virDomainEventWatchdogAction
WATCHDOG_ACTIONS: Final = {
    0: "none", 1: "pause", 2: "reset", 3: "poweroff", 4: "shutdown", 5: "debug", 6: "inject-nmi",
}  # fmt: skip
# virDomainEventIOErrorAction
DISK_ACTIONS: Final = {0: "none", 1: "pause", 2: "report"}
# virConnectDomainEventAgentLifecycleState
AGENT_CONNECTED, AGENT_DISCONNECTED = 1, 2
LONGEST_TEXT: Final = 200


class Kind(enum.Enum):
    """What happened to a guest."""

    STARTED = "started"
    STOPPED = "stopped"
    PAUSED = "paused"
    RESUMED = "resumed"
    REMOVED = "removed"
    CRASHED = "crashed"
    WATCHDOG = "watchdog"
    DISK = "disk"
    AGENT = "agent"


@dataclasses.dataclass(frozen=True, slots=True)
class DomainEvent:
    """An event about one guest; *stops* says that a crash ended its process."""

    instance_id: str
    kind: Kind
    reason: str = ""
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    stops: bool = False


def lifecycle(instance_id: str, event: int, detail: int) -> DomainEvent | None:
    """Return what ``VIR_DOMAIN_EVENT_ID_LIFECYCLE`` means, or None if nothing here depends on it."""
    if event == STOPPED:
        reason = STOPPED_REASONS.get(detail, "the guest stopped")
        kind = Kind.CRASHED if detail in CRASHES else Kind.STOPPED
        return DomainEvent(instance_id, kind, reason, stops=True)
    if event == CRASHED:
        return DomainEvent(instance_id, Kind.CRASHED, "the kernel of the guest panicked")
    plain = {
        UNDEFINED: Kind.REMOVED,
        STARTED: Kind.STARTED,
        SUSPENDED: Kind.PAUSED,
        PMSUSPENDED: Kind.PAUSED,
        RESUMED: Kind.RESUMED,
    }
    return DomainEvent(instance_id, plain[event]) if event in plain else None


def reboot(instance_id: str) -> DomainEvent:
    """Return what ``VIR_DOMAIN_EVENT_ID_REBOOT`` means: the guest starts again."""
    return DomainEvent(instance_id, Kind.STARTED)


def watchdog(instance_id: str, action: int) -> DomainEvent:
    """Return what ``VIR_DOMAIN_EVENT_ID_WATCHDOG`` means."""
    name = WATCHDOG_ACTIONS.get(action, str(action))
    return DomainEvent(instance_id, Kind.WATCHDOG, f"the watchdog fired, action {name}", {"action": name})


def disk_error(instance_id: str, path: str, alias: str, action: int, reason: str) -> DomainEvent:
    """Return what ``VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON`` means."""
    name = DISK_ACTIONS.get(action, str(action))
    details = {"device": alias[:LONGEST_TEXT], "path": path[:LONGEST_TEXT], "action": name}
    said = reason[:LONGEST_TEXT] or "error"
    return DomainEvent(instance_id, Kind.DISK, f"input/output error of a disk: {said}", details)


def agent(instance_id: str, state: int) -> DomainEvent | None:
    """Return what ``VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE`` means: a challenge at once shows the rest."""
    return DomainEvent(instance_id, Kind.AGENT) if state in (AGENT_CONNECTED, AGENT_DISCONNECTED) else None
