"""The events about planned maintenance: for owners of servers, and about answers that are overdue. Pure."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

from eventalarm.inspector.fan_out import event_id
from eventalarm.model import (
    DATETIME,
    STRING,
    InstanceStatus,
    JSONDict,
    MaintainedInstance,
    MaintenanceSession,
    format_time,
    make_body,
)

INSTANCE: Final = "maintenance.instance"
UNANSWERED: Final = "maintenance.unanswered"
HOST_COPY: Final = "administrators"
ANSWERED: Final = "answered"
OVERDUE: Final = "unanswered"
# Namespace of the ids of events about answers. Never change it: inspectors publish them independently.
ANSWERS: Final = uuid.UUID("0c1f4a5e-63c7-5d0b-9a44-7d0d5b9d5f21")
# Traits of maintenance.host that name a project, which is the tool's own and no owner of a server.
PROJECTS: Final = frozenset({"project_id", "tenant_id", "caller_project_id"})


def instance_events(session: MaintenanceSession, cause: str) -> list[JSONDict]:
    """Return an event for each server of a session that the report *cause* is about.

    The same report gives the same events, however often it is delivered.
    """
    return [_about(session, one) for one in session.instances if one.cause == cause]


def _about(session: MaintenanceSession, one: MaintainedInstance) -> JSONDict:
    planned = one.status is InstanceStatus.PLANNED
    traits: dict[str, tuple[int, Any]] = _of(session.project_id, one.instance_id) | {
        "instance_id": (STRING, one.instance_id),
        "session_id": (STRING, session.session_id),
        "state": (STRING, one.state),
        "status": (STRING, one.status.value),
        "anticipated_time": (DATETIME, format_time(one.anticipated_at or one.at)),
        "severity": (STRING, "warning"),
        "server_group": (STRING, one.server_group),
        "reply_url": (STRING, session.reply_url if planned else ""),
        "allowed_actions": (STRING, ", ".join(session.allowed_actions) if planned else ""),
        "reason": (STRING, session.reason),
    }
    if planned and session.due_at is not None:
        traits["reply_at"] = (DATETIME, format_time(session.due_at))
    return _body(event_id(one.cause, one.instance_id), INSTANCE, one.at, traits)


def overdue_event(session: MaintenanceSession, at: datetime.datetime) -> JSONDict:
    """Return the event that the present state of a session was not answered in time."""
    return _answer_event(session, session.message_id, OVERDUE, at)


def answered_event(session: MaintenanceSession, at: datetime.datetime) -> JSONDict:
    """Return the event that ends :func:`overdue_event`: the state was answered, or is over."""
    return _answer_event(session, session.alarmed, ANSWERED, at)


def _answer_event(session: MaintenanceSession, about: str, status: str, at: datetime.datetime) -> JSONDict:
    traits: dict[str, tuple[int, Any]] = _of(session.project_id, session.session_id) | {
        "session_id": (STRING, session.session_id),
        "state": (STRING, session.state),
        "status": (STRING, status),
        "reply_url": (STRING, session.reply_url),
    }
    if session.due_at is not None:
        traits["reply_at"] = (DATETIME, format_time(session.due_at))
    return _body(str(uuid.uuid5(ANSWERS, f"{about}/{status}")), UNANSWERED, at, traits)


def unowned_copy(body: JSONDict) -> JSONDict:
    """Return a copy of an event about a host without the project that the tool gave it.

    Fenix names its own project there and OPNFV Doctor any project of the session, but the event is for
    administrators.
    """
    kept = [one for one in body.get("traits") or () if one and one[0] not in PROJECTS]
    return make_body(
        event_id(str(body["message_id"]), HOST_COPY), body["event_type"], body.get("generated"), kept
    )


def _of(project_id: str, resource_id: str) -> dict[str, tuple[int, Any]]:
    return {
        "project_id": (STRING, project_id),
        "tenant_id": (STRING, project_id),
        "resource_id": (STRING, resource_id),
    }


def _body(
    message_id: str, event_type: str, at: datetime.datetime, traits: Mapping[str, tuple[int, Any]]
) -> JSONDict:
    listed: Iterable[tuple[str, int, Any]] = (
        (name, dtype, value) for name, (dtype, value) in traits.items() if value != ""
    )
    return make_body(message_id, event_type, format_time(at), listed)
