"""Planned maintenance: a session as one project sees it, and the answers that it expects."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from typing import Final

from eventalarm.model.resources import HostMaintenance

# The type of the events about a host in planned maintenance.
HOST_EVENT: Final = "maintenance.host"
# The states of a host, as Fenix and OPNFV Doctor name them, and those that end its maintenance.
PLANNED: Final = "PLANNED_MAINTENANCE"
IN_MAINTENANCE: Final = "IN_MAINTENANCE"
COMPLETE: Final = "MAINTENANCE_COMPLETE"
HOST_STATES: Final = (PLANNED, IN_MAINTENANCE, COMPLETE)
ENDED: Final = frozenset({COMPLETE, "MAINTENANCE_DONE", "MAINTENANCE_FAILED", "ENABLED", "none"})
# A report about some servers: the tool has migrated them. It is not a state of the session.
ACTION_DONE: Final = "INSTANCE_ACTION_DONE"

ACKNOWLEDGE: Final = "ACK_"
REFUSE: Final = "NACK_"

# The project of the session that lists the hosts, which only administrators see.
NO_PROJECT: Final = ""


class InstanceStatus(enum.StrEnum):
    """Whether a session still affects a server; the trait ``status`` of its events."""

    PLANNED = "planned"
    COMPLETE = "complete"


@dataclasses.dataclass(frozen=True, slots=True)
class MaintainedInstance:
    """One server of a session.

    ``host`` is where it ran when it was found, or empty. ``state`` and ``anticipated_at`` are those of the
    report ``cause`` (a message id), which is the newest one about it, ``at`` its time (aware UTC).
    """

    instance_id: str
    status: InstanceStatus
    state: str
    cause: str
    at: datetime.datetime
    host: str = ""
    server_group: str = ""
    anticipated_at: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class MaintainedHost:
    """One host of a session: its state as of the newest report ``cause``, and when that was made (``at``).

    ``starts_at`` and ``ends_at`` are as planned; all times are aware UTC.
    """

    host: str
    state: str
    cause: str
    at: datetime.datetime
    starts_at: datetime.datetime | None = None
    ends_at: datetime.datetime | None = None
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Return True if the host is back."""
        return self.state in ENDED


@dataclasses.dataclass(frozen=True, slots=True)
class MaintenanceAnswer:
    """An answer of the project to one state of a session; ``status`` is that of the tool's response."""

    state: str
    user_id: str
    at: datetime.datetime
    status: int


@dataclasses.dataclass(frozen=True, slots=True)
class MaintenanceSession:
    """A maintenance session as one project sees it; without a project, the hosts of the session.

    ``state``, ``reply_url``, ``due_at``, ``actions_at``, ``allowed_actions`` and ``reason`` are those of the
    report ``message_id``, the newest one about the session, ``at`` its time. ``due_at`` is when an answer is
    due; None: none is expected. ``answered``: the present state is. ``alarmed`` is the message id of the
    state for which ``maintenance.unanswered`` was published, or may have been, until that is cleared. Times
    are aware UTC.
    """

    session_id: str
    project_id: str
    state: str
    message_id: str
    at: datetime.datetime
    reply_url: str = ""
    due_at: datetime.datetime | None = None
    actions_at: datetime.datetime | None = None
    allowed_actions: tuple[str, ...] = ()
    reason: str = ""
    hosts: tuple[MaintainedHost, ...] = ()
    instances: tuple[MaintainedInstance, ...] = ()
    answers: tuple[MaintenanceAnswer, ...] = ()
    answered: bool = False
    alarmed: str = ""

    @property
    def expected_answers(self) -> tuple[str, ...]:
        """The states with which the project can answer; empty if the tool expects no answer."""
        if not self.reply_url:
            return ()
        return tuple(f"{word}{self.state}" for word in (ACKNOWLEDGE, REFUSE))

    @property
    def planned_until(self) -> datetime.datetime:
        """The last of the times for which something is reported or planned that has not ended."""
        ahead = [self.due_at] if self.state in ENDED else [self.due_at, self.actions_at]
        for host in self.hosts:
            ahead += [] if host.ended else [host.starts_at, host.ends_at]
        planned = (one for one in self.instances if one.status is InstanceStatus.PLANNED)
        return max([self.at, *filter(None, [*ahead, *(one.anticipated_at for one in planned)])])

    def alarmed_at(self, now: datetime.datetime) -> str:
        """Return ``alarmed`` for a session whose present state ends at *now*.

        An inspector that was killed may have published that the answer is overdue without recording it.
        """
        overdue = self.due_at is not None and self.due_at <= now and not self.answered
        return self.alarmed or (self.message_id if overdue else "")


@dataclasses.dataclass(frozen=True, slots=True)
class HostReport:
    """The state of one host of a session."""

    session_id: str
    host: MaintainedHost

    def maintenance(self, timeout: datetime.datetime) -> HostMaintenance:
        """Return the report as the maintenance of the host, which ends at *timeout* without another report.

        A planned end after that counts.
        """
        host = self.host
        expires_at = max(timeout, host.ends_at or timeout)
        return HostMaintenance(self.session_id, host.host, host.state, host.at, expires_at, host.starts_at)


def host_session(report: HostReport, known: MaintenanceSession | None) -> MaintenanceSession:
    """Return the session without a project after a report about a host; an older report changes nothing."""
    host = report.host
    found = known or MaintenanceSession(report.session_id, NO_PROJECT, host.state, host.cause, host.at)
    parts = {one.host: one for one in found.hosts}
    if host.host in parts and parts[host.host].at > host.at:
        return found
    parts[host.host] = host
    hosts = tuple(parts[name] for name in sorted(parts))
    return dataclasses.replace(
        found, state=host.state, message_id=host.cause, at=max(found.at, host.at), hosts=hosts
    )
