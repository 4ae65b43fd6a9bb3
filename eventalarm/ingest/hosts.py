"""``/v1/hosts/{host}/maintenance``: begins and ends the maintenance of a host without an admin tool."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import json
import uuid
from collections.abc import Callable
from typing import Any, Final

import falcon

from eventalarm.exceptions import PublishError
from eventalarm.http.auth import Guard, caller_of
from eventalarm.http.openapi import Schemas
from eventalarm.http.requests import read_json
from eventalarm.http.responses import BadBody, FieldError
from eventalarm.ingest import ingest_policies
from eventalarm.ingest.events import Gateway
from eventalarm.ingest.reading import A_TIME
from eventalarm.ingest.sessions import time_or_none
from eventalarm.model import DATETIME, STRING, JSONDict, MaintainedHost, format_time, make_body, parse_time
from eventalarm.model.maintenance import COMPLETE, HOST_EVENT, NO_PROJECT, PLANNED, HostReport, host_session
from eventalarm.publisher import codec
from eventalarm.storage.column_types import KEY_LENGTH
from eventalarm.storage.database import Database
from eventalarm.storage.maintenance import MaintenanceStore
from eventalarm.storage.maintenance_sessions import MaintenanceSessions
from eventalarm.storage.resource_map import ResourceMap

TIMES: Final = ("starts_at", "ends_at")
# How similar a known host must be to be suggested, from 0 to 1.
SIMILAR: Final = 0.75


@dataclasses.dataclass(frozen=True)
class HostContext:
    """What the resource uses; *database* is opened on first use, ``max_body`` is in bytes.

    ``timeout``: how long after its last report a maintenance ends by itself.
    """

    guard: Guard
    schemas: Schemas
    database: Callable[[], Database]
    gateway: Gateway
    max_body: int
    retry_after: int
    timeout: datetime.timedelta


class HostMaintenanceResource:
    """The maintenance of one host."""

    def __init__(self, context: HostContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response, host: str) -> None:
        """Return the newest maintenance of the host."""
        self._require(req, host)
        found = self._sessions().of_host(host)
        if not found:
            raise falcon.HTTPNotFound(description="no maintenance of that host is known")
        self._show(resp, *found[0])

    def on_put(self, req: falcon.Request, resp: falcon.Response, host: str) -> None:
        """Plan, begin or end the maintenance of the host."""
        self._require(req, host)
        body = read_json(req, self._context.max_body)
        if errors := self._context.schemas.errors("HostMaintenance", body):
            raise BadBody(errors)
        session_id = body.get("session_id") or self._current(host) or str(uuid.uuid4())
        self._report(resp, HostReport(session_id, _part(host, body, self._now())))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, host: str) -> None:
        """End the maintenance of the host."""
        self._require(req, host)
        session_id = str(req.get_param("session_id") or "") or self._current(host)
        if not session_id:
            raise falcon.HTTPNotFound(description="the host is not in maintenance")
        self._report(resp, HostReport(session_id, _part(host, {"state": COMPLETE}, self._now())))

    def _require(self, req: falcon.Request, host: str) -> None:
        self._context.guard.require(caller_of(req), ingest_policies.HOST_MAINTENANCE)
        if len(host) > KEY_LENGTH or not host.isprintable() or host != host.strip():
            raise falcon.HTTPBadRequest(
                description=f"the host must be 1 to {KEY_LENGTH} printable characters"
            )

    def _sessions(self) -> MaintenanceSessions:
        return MaintenanceSessions(self._context.database())

    def _now(self) -> datetime.datetime:
        """Return the database's time, by which inspectors order reports, whatever the clock of this host."""
        return self._context.database().about_now()

    def _current(self, host: str) -> str:
        """Return the session of the newest maintenance of the host that has not ended, or an empty string."""
        return next((session for session, part in self._sessions().of_host(host) if not part.ended), "")

    def _report(self, resp: falcon.Response, report: HostReport) -> None:
        """Publish the event, then record it, so that it counts before an inspector has handled the event."""
        try:
            self._context.gateway.publish([codec.encode(_event(report))])
        except PublishError as exc:
            raise falcon.HTTPServiceUnavailable(
                description="the message broker is not accepting events; send the same request again",
                retry_after=self._context.retry_after,
            ) from exc
        self._sessions().update(
            report.session_id, lambda known: [host_session(report, known.get(NO_PROJECT))]
        )
        now = self._now()
        store = MaintenanceStore(self._context.database())
        if report.host.ended:
            store.end(report.maintenance(now), now)
        elif report.host.state != PLANNED:
            store.begin(report.maintenance(now + self._context.timeout), now)
        self._show(resp, report.session_id, report.host)

    def _show(self, resp: falcon.Response, session_id: str, part: MaintainedHost) -> None:
        resources = ResourceMap(self._context.database())
        servers = resources.servers([part.host])
        body = {
            "host": part.host,
            "session_id": session_id,
            "state": part.state,
            "reported_at": part.at.isoformat(),
            "starts_at": time_or_none(part.starts_at),
            "ends_at": time_or_none(part.ends_at),
            "reason": part.reason,
            "servers": len(servers),
            "projects": len({one.project_id for one in servers}),
            "warnings": [] if servers else [_unknown(part.host, resources.hosts())],
        }
        resp.text = json.dumps(body)


def _part(host: str, body: JSONDict, now: datetime.datetime) -> MaintainedHost:
    """Return the state that the body of a request reports at *now*.

    :raises BadBody: when a time is not one, or the end is before the start.
    """
    body = {"starts_at": body.get("actions_at"), **body}
    found: dict[str, datetime.datetime | None] = {}
    errors = []
    for name in TIMES:
        try:
            found[name] = parse_time(body[name]) if body.get(name) is not None else None
        except ValueError as exc:
            errors.append(FieldError(f"/{name}", str(exc), A_TIME))
    starts_at, ends_at = found.get("starts_at"), found.get("ends_at")
    if starts_at and ends_at and ends_at < starts_at:
        errors.append(FieldError("/ends_at", "is before starts_at", "give a later time, or omit it"))
    if errors:
        raise BadBody(errors)
    reason = str(body.get("reason") or "")
    return MaintainedHost(host, body["state"], str(uuid.uuid4()), now, starts_at, ends_at, reason)


def _event(report: HostReport) -> JSONDict:
    part = report.host
    texts: dict[str, Any] = {
        "resource_id": part.host,
        "host": part.host,
        "hostname": part.host,
        "session_id": report.session_id,
        "state": part.state,
        "reason": part.reason,
    }
    traits = [(name, STRING, value) for name, value in texts.items() if value]
    for name in TIMES:
        moment = getattr(part, name)
        if moment is not None:
            traits.append((name, DATETIME, format_time(moment)))
    return make_body(part.cause, HOST_EVENT, format_time(part.at), traits)


def _unknown(host: str, hosts: list[str]) -> str:
    """Return the warning about a host on which no server is known, with hosts whose names are similar."""
    same = [one for one in hosts if one.partition(".")[0].lower() == host.partition(".")[0].lower()]
    similar = same or difflib.get_close_matches(host, hosts, 3, SIMILAR)
    hint = f"; did you mean {', '.join(similar[:3])}?" if similar else ""
    return f"no server is known on this host: is {host[:200]!r} its name in Nova{hint or '?'}"
