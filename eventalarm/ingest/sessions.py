"""``/v1/maintenance``: sessions of planned maintenance, and the answers of projects to them."""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
from collections.abc import Callable
from typing import Final

import falcon

from eventalarm.exceptions import DeliveryError
from eventalarm.http.auth import Guard, caller_of
from eventalarm.http.openapi import Schemas
from eventalarm.http.requests import read_json
from eventalarm.http.responses import (
    MARKER,
    BadBody,
    BadMarker,
    FieldError,
    Links,
    decode_marker,
    encode_marker,
    pointer,
)
from eventalarm.ingest import ingest_policies
from eventalarm.ingest.answers import AnswerSender
from eventalarm.log_fields import fields
from eventalarm.model import JSONDict, MaintenanceAnswer, MaintenanceSession
from eventalarm.model.maintenance import ACKNOWLEDGE
from eventalarm.storage.column_types import clean
from eventalarm.storage.database import Database
from eventalarm.storage.maintenance_sessions import MaintenanceSessions

LOG = logging.getLogger(__name__)

PAGE: Final = 100
NOT_FOUND: Final = "no maintenance session of that id affects the project"


@dataclasses.dataclass(frozen=True)
class SessionContext:
    """What the resources use; *database* is opened on first use, ``max_body`` is in bytes."""

    guard: Guard
    schemas: Schemas
    database: Callable[[], Database]
    answers: AnswerSender
    max_body: int

    def sessions(self) -> MaintenanceSessions:
        """Return the sessions of the database."""
        return MaintenanceSessions(self.database())

    def find(self, req: falcon.Request, session_id: str, rule: str) -> MaintenanceSession:
        """Return a session as the project that the request names sees it, by default the caller's.

        :raises falcon.HTTPForbidden: when the policy does not allow it.
        :raises falcon.HTTPNotFound: when the session does not affect that project.
        """
        project_id = clean(self.guard.named_project(req, rule, ingest_policies.MAINTENANCE_ALL))
        found = self.sessions().get(session_id, project_id) if project_id else None
        if found is None:
            raise falcon.HTTPNotFound(description=NOT_FOUND)
        return found


class SessionList:
    """The resource of all sessions."""

    def __init__(self, context: SessionContext) -> None:
        self._context = context
        self._links = Links("")

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return a page of sessions, ordered by session and project."""
        project_id = self._context.guard.listed_project(
            req, ingest_policies.MAINTENANCE_READ, ingest_policies.MAINTENANCE_ALL
        )
        found = self._context.sessions().select(project_id, _after(req), PAGE + 1)
        following = None
        if len(found) > PAGE:
            found = found[:PAGE]
            following = encode_marker([found[-1].session_id, found[-1].project_id])
        self._links.add_next(req, resp, following)
        resp.text = json.dumps([shown(one) for one in found])


class Session:
    """The resource of one session."""

    def __init__(self, context: SessionContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response, session_id: str) -> None:
        """Return the session."""
        resp.text = json.dumps(shown(self._context.find(req, session_id, ingest_policies.MAINTENANCE_READ)))


class SessionAnswer:
    """The resource of the answer to the present state of a session."""

    def __init__(self, context: SessionContext) -> None:
        self._context = context

    def on_put(self, req: falcon.Request, resp: falcon.Response, session_id: str) -> None:
        """Send the answer to the tool, record it, and return the session."""
        session = self._context.find(req, session_id, ingest_policies.MAINTENANCE_ANSWER)
        body = read_json(req, self._context.max_body)
        if errors := self._context.schemas.errors("MaintenanceAnswer", body):
            raise BadBody(errors)
        if not session.expected_answers:
            raise falcon.HTTPConflict(description=f"the tool expects no answer to state {session.state}")
        if errors := _wrong(session, body):
            raise BadBody(errors)
        status = self._send(session, {"session_id": session.session_id, **body}, req)
        now = self._context.database().about_now()
        answer = MaintenanceAnswer(body["state"], caller_of(req).user_id, now, status)
        self._context.sessions().record_answer(session, answer)
        LOG.info(
            "Session %s: user %s answered %s for project %s",
            session.session_id,
            answer.user_id,
            answer.state,
            session.project_id,
            extra=fields(project_id=session.project_id, user_id=answer.user_id),
        )
        found = self._context.sessions().get(session.session_id, session.project_id)
        resp.text = json.dumps(shown(found or session))

    def _send(self, session: MaintenanceSession, body: JSONDict, req: falcon.Request) -> int:
        token = req.get_header("X-Auth-Token") or ""
        try:
            return self._context.answers.send(session.reply_url, body, token)
        except DeliveryError as exc:
            raise falcon.HTTPBadGateway(
                description=f"the answer did not reach the tool at reply_url: {exc}; it is not recorded"
            ) from exc


def _wrong(session: MaintenanceSession, body: JSONDict) -> list[FieldError]:
    """Return what the tool could not understand in an answer."""
    expected = session.expected_answers
    if body["state"] not in expected:
        problem = f"{body['state']!r} is no answer to state {session.state}"
        return [FieldError("/state", problem[:200], f"use {' or '.join(expected)}")]
    allowed, actions = session.allowed_actions, body.get("instance_actions")
    if not allowed or not body["state"].startswith(ACKNOWLEDGE):
        return []
    choice = f"use {', '.join(allowed)}"
    if not actions:
        remedy = f"give an object of server ids and their actions; {choice}"
        return [FieldError("/instance_actions", "the tool needs an action for each server", remedy)]
    return [
        FieldError(pointer("instance_actions", name), f"the tool does not allow {action!r:.80}", choice)
        for name, action in actions.items()
        if action not in allowed
    ]


def _after(req: falcon.Request) -> tuple[str, str] | None:
    text = req.get_param(MARKER)
    if not text:
        return None
    match decode_marker(text):
        case [str(session), str(project)]:
            return clean(session), clean(project)
    raise BadMarker


def shown(session: MaintenanceSession) -> JSONDict:
    """Return a session as clients see it."""
    return {
        "session_id": session.session_id,
        "project_id": session.project_id,
        "state": session.state,
        "reported_at": session.at.isoformat(),
        "reply_at": time_or_none(session.due_at),
        "actions_at": time_or_none(session.actions_at),
        "reply_url": session.reply_url or None,
        "allowed_actions": list(session.allowed_actions),
        "expected_answers": list(session.expected_answers),
        "answered": session.answered,
        "reason": session.reason,
        "instances": [
            {
                "instance_id": one.instance_id,
                "status": one.status.value,
                "state": one.state,
                "anticipated_time": time_or_none(one.anticipated_at),
                "server_group": one.server_group or None,
            }
            for one in session.instances
        ],
        "answers": [
            {"state": one.state, "user_id": one.user_id, "at": one.at.isoformat(), "status": one.status}
            for one in session.answers
        ],
    }


def time_or_none(moment: datetime.datetime | None) -> str | None:
    """Return an aware time as ISO 8601, or None."""
    return None if moment is None else moment.isoformat()
