"""Planned maintenance: reads what admin tools report of a session, and what a report changes. Pure.

Fenix and OPNFV Doctor's admin tool send ``maintenance.scheduled`` to each project for each state of a session
and ``maintenance.host`` for each host. Times are text in UTC without a zone (``2026-11-21 05:30:00``).
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from eventalarm.model import (
    EPOCH,
    Event,
    InstanceStatus,
    MaintainedHost,
    MaintainedInstance,
    MaintenanceSession,
    Resource,
    parse_time,
)
from eventalarm.model.maintenance import (
    ACTION_DONE,
    ENDED,
    HOST_EVENT,
    NO_PROJECT,
    HostReport,
    host_session,
)

SCHEDULED: Final = "maintenance.scheduled"
REPORTS: Final = frozenset({SCHEDULED, HOST_EVENT})
# The longest time to answer that is derived from a deadline in the past.
LONGEST: Final = datetime.timedelta(days=1)
# The fields that a session takes over from the newest report about it.
OF_SESSION: Final = (
    *("state", "message_id", "at", "reply_url", "due_at", "actions_at", "allowed_actions", "reason"),
)
LINKS: Final = ("http://", "https://")


@dataclasses.dataclass(frozen=True, slots=True)
class SessionReport:
    """One report about a session, to one project.

    ``instance_ids`` is None where the report does not name the servers: it has a link, or a list that
    Ceilometer has cut at 255 characters.
    """

    session_id: str
    project_id: str
    state: str
    message_id: str
    at: datetime.datetime
    instance_ids: tuple[str, ...] | None = None
    reply_url: str = ""
    due_at: datetime.datetime | None = None
    actions_at: datetime.datetime | None = None
    allowed_actions: tuple[str, ...] = ()
    reason: str = ""


def in_order(events: Iterable[Event], received: datetime.datetime) -> list[Event]:
    """Return those of the events that are about planned maintenance, the oldest first; usually none."""
    found = [event for event in events if event.event_type in REPORTS]
    return sorted(found, key=lambda one: one.time(received))


def read_session(event: Event, owner: str, received: datetime.datetime) -> SessionReport | None:
    """Return the report about a session that an event makes to the project *owner*, or None.

    :param received: when the event was received (aware UTC); a later time of the event is ignored.
    """
    session_id, state = event.first_trait(("session_id",)), event.first_trait(("state",))
    if event.event_type != SCHEDULED or not (owner and session_id and state):
        return None
    at = event.time(received)
    reply_url = event.first_trait(("reply_url",)) if state != ACTION_DONE else ""
    actions_at = _deadline(event, "actions_at", at)
    return SessionReport(
        session_id=session_id,
        project_id=owner,
        state=state,
        message_id=event.message_id,
        at=at,
        instance_ids=_instance_ids(event.first_trait(("instance_ids",))),
        reply_url=reply_url,
        due_at=(_deadline(event, "reply_at", at) or actions_at) if reply_url else None,
        actions_at=actions_at,
        allowed_actions=read_list(event.first_trait(("allowed_actions",))) or (),
        reason=event.first_trait(("reason",)),
    )


def read_host(event: Event, received: datetime.datetime) -> HostReport | None:
    """Return the state of a host that an event reports, or None; without a session, the host names it."""
    host = event.first_trait(("host", "hostname", "resource_id"))
    state = event.first_trait(("state",))
    if event.event_type != HOST_EVENT or not (host and state):
        return None
    at = event.time(received)
    starts_at = _moment(event, "starts_at") or _moment(event, "actions_at")
    part = MaintainedHost(
        host,
        state,
        event.message_id,
        at,
        starts_at=starts_at,
        ends_at=_moment(event, "ends_at"),
        reason=event.first_trait(("reason",)),
    )
    return HostReport(event.first_trait(("session_id",)) or host, part)


def read_list(text: str) -> tuple[str, ...] | None:
    """Return the items of a list that was written as text by Python or as JSON, or None if it was cut.

    A text without brackets is one item.
    """
    text = text.strip()
    if not text.startswith("["):
        return (text,) if text else ()
    if not text.endswith("]"):
        return None
    items = (item.strip().removeprefix("u'").strip("'\"") for item in text[1:-1].split(","))
    return tuple(item for item in items if item)


def _instance_ids(text: str) -> tuple[str, ...] | None:
    if not text or text.startswith(LINKS):
        return None
    return read_list(text)


def _moment(event: Event, name: str) -> datetime.datetime | None:
    try:
        return parse_time(event.trait(name))
    except ValueError:
        return None


def _deadline(event: Event, name: str, at: datetime.datetime) -> datetime.datetime | None:
    """Return a deadline of an event that was generated *at*.

    Fenix subtracts the time to answer from the present time instead of adding it (``reply_time_str``): a
    deadline that had passed when the event was sent is as far in the future as it lies in the past.
    """
    moment = _moment(event, name)
    if moment is None or moment >= at:
        return moment
    return at + (at - moment) if at - moment <= LONGEST else None


@dataclasses.dataclass(frozen=True, slots=True)
class _Change:
    """What a report says of the servers that it is about."""

    status: InstanceStatus
    state: str
    cause: str
    at: datetime.datetime
    anticipated_at: datetime.datetime | None

    @classmethod
    def of_session(cls, report: SessionReport) -> _Change:
        over = report.state in ENDED or report.state == ACTION_DONE
        status = InstanceStatus.COMPLETE if over else InstanceStatus.PLANNED
        return cls(status, report.state, report.message_id, report.at, report.actions_at)

    @classmethod
    def of_host(cls, host: MaintainedHost) -> _Change:
        status = InstanceStatus.COMPLETE if host.ended else InstanceStatus.PLANNED
        return cls(status, host.state, host.cause, host.at, host.starts_at)

    def applied(self, one: MaintainedInstance) -> MaintainedInstance:
        """Return a server after this report, unless a newer one was about it."""
        if one.cause and one.at >= self.at and one.cause != self.cause:
            return one
        return dataclasses.replace(
            one,
            status=self.status,
            state=self.state,
            cause=self.cause,
            at=self.at,
            anticipated_at=self.anticipated_at or one.anticipated_at,
        )


def _after(
    session: MaintenanceSession, change: _Change, changed: Iterable[MaintainedInstance]
) -> MaintenanceSession:
    parts = {one.instance_id: one for one in session.instances}
    parts |= {one.instance_id: change.applied(one) for one in changed}
    return dataclasses.replace(session, instances=tuple(parts[name] for name in sorted(parts)))


def _parts(session: MaintenanceSession, servers: Iterable[Resource]) -> list[MaintainedInstance]:
    """Return what a session knows of some servers, with where the resource map has them."""
    known = {one.instance_id: one for one in session.instances}
    found = []
    for server in servers:
        one = known.get(server.resource_id)
        if one is None:
            one = MaintainedInstance(server.resource_id, InstanceStatus.PLANNED, "", "", session.at)
        found.append(
            dataclasses.replace(
                one, host=server.host or one.host, server_group=server.server_group or one.server_group
            )
        )
    return found


def _known(parts: Iterable[MaintainedInstance]) -> list[MaintainedInstance]:
    """Return the servers that an earlier report was about."""
    return [one for one in parts if one.cause]


def apply_session(
    report: SessionReport, known: MaintenanceSession | None, servers: Iterable[Resource]
) -> MaintenanceSession:
    """Return a session after a report to its project; an older or repeated report changes nothing.

    :param servers: those that the report is about, as the resource map has them. A server that the tool has
        finished is taken up again only where a report names it.
    """
    found = known or MaintenanceSession(
        report.session_id, report.project_id, report.state, report.message_id, EPOCH
    )
    change = _Change.of_session(report)
    planned = [one for one in found.instances if one.status is InstanceStatus.PLANNED]
    if report.state in ENDED:
        changed = planned
    elif report.state == ACTION_DONE:
        changed = _known(_parts(found, servers))
    else:
        named = report.instance_ids is not None
        changed = [
            one for one in _parts(found, servers) if named or one.status is not InstanceStatus.COMPLETE
        ]
        if found.state in ENDED and report.at < found.at:
            # The end has arrived before: none would follow for further servers.
            changed = _known(changed)
    if report.at > found.at and report.state != ACTION_DONE:
        values = {name: getattr(report, name) for name in OF_SESSION}
        found = dataclasses.replace(found, **values, answered=False, alarmed=found.alarmed_at(report.at))
    return _after(found, change, changed)


def apply_host(
    report: HostReport, known: Mapping[str, MaintenanceSession], servers: Sequence[Resource]
) -> list[MaintenanceSession]:
    """Return the sessions that a report about a host changes; the one without a project has the hosts.

    :param known: the session as each project sees it.
    :param servers: those on the host, of all projects.
    """
    infrastructure = host_session(report, known.get(NO_PROJECT))
    newest = next(one for one in infrastructure.hosts if one.host == report.host.host)
    late = newest.ended and newest.at > report.host.at
    by_project: dict[str, list[Resource]] = {name: [] for name in known if name != NO_PROJECT}
    for server in servers:
        if server.project_id:
            by_project.setdefault(server.project_id, []).append(server)
    found = (_of_project(report, name, known.get(name), mine, late=late) for name, mine in by_project.items())
    return [infrastructure, *(one for one in found if one is not None)]


def _of_project(
    report: HostReport,
    project_id: str,
    known: MaintenanceSession | None,
    servers: Sequence[Resource],
    *,
    late: bool,
) -> MaintenanceSession | None:
    host = report.host
    found = known or MaintenanceSession(report.session_id, project_id, host.state, host.cause, EPOCH)
    if host.ended:
        here = [one for one in found.instances if one.host == host.host]
        changed = [one for one in here if one.status is InstanceStatus.PLANNED]
    else:
        changed = _known(_parts(found, servers)) if late else _parts(found, servers)
    if not changed:
        return None
    after = _after(found, _Change.of_host(host), changed)
    over = all(one.status is InstanceStatus.COMPLETE for one in after.instances)
    # What a tool says to the project itself counts more.
    if found.reply_url or host.at <= found.at or (host.ended and not over):
        return after
    return dataclasses.replace(
        after,
        state=host.state,
        message_id=host.cause,
        at=host.at,
        actions_at=host.starts_at or found.actions_at,
        reason=host.reason or found.reason,
    )
