"""Maintenance sessions as each project sees them, and the answers of projects."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import (
    InstanceStatus,
    MaintainedHost,
    MaintainedInstance,
    MaintenanceAnswer,
    MaintenanceSession,
    parse_time,
)
from eventalarm.model.maintenance import NO_PROJECT
from eventalarm.storage.column_types import clean, to_key
from eventalarm.storage.database import Database
from eventalarm.storage.errors import retry_conflicts
from eventalarm.storage.inspector_tables import maintenance_session as table

# Columns with the name of a field; the other fields are in ``body``.
COLUMNS: Final = ("session_id", "project_id", "state", "message_id", "at", "due_at", "answered", "alarmed")
STATE_LENGTH: Final = 64
# A project may answer as often as its tool accepts it; the newest answers are kept.
ANSWERS_KEPT: Final = 100
TIMES: Final = frozenset({"at", "anticipated_at", "actions_at", "starts_at", "ends_at"})

# From the known rows of a session, by project, to those to write.
Decide = Callable[[dict[str, MaintenanceSession]], Sequence[MaintenanceSession]]


class MaintenanceSessions:
    """The sessions of one database; every method raises Retryable when the database failed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @retry_conflicts
    def update(self, session_id: str, decide: Decide) -> list[MaintenanceSession]:
        """Change a session by a pure decision under its lock, and return what *decide* returned.

        Idempotent if *decide* is; several processes may call it at once.
        """
        with self._database.begin() as connection:
            query = sa.select(table).where(table.c.session_id == to_key(session_id))
            rows = connection.execute(query.order_by(table.c.project_id).with_for_update())
            known = {row.project_id: _session(row) for row in rows}
            found = list(decide(known))
            _put(connection, found, known)
        return found

    def get(self, session_id: str, project_id: str) -> MaintenanceSession | None:
        """Return a session as a project sees it, or None."""
        query = sa.select(table).where(_key(session_id, project_id))
        with self._database.read() as connection:
            row = connection.execute(query).first()
        # Compared here as well: databases may compare strings without regard to case.
        return _session(row) if row is not None and row.project_id == project_id else None

    def select(
        self, project_id: str | None, after: tuple[str, str] | None, limit: int
    ) -> list[MaintenanceSession]:
        """Return the sessions of a project, or of all projects if None, ordered by session and project.

        :param after: the session and the project of the last one of the page before.
        """
        query = sa.select(table).where(table.c.project_id != NO_PROJECT)
        if project_id is not None:
            query = query.where(table.c.project_id == project_id)
        if after is not None:
            session, project = after
            same = sa.and_(table.c.session_id == session, table.c.project_id > project)
            query = query.where(sa.or_(table.c.session_id > session, same))
        query = query.order_by(table.c.session_id, table.c.project_id).limit(limit)
        with self._database.read() as connection:
            found = [_session(row) for row in connection.execute(query)]
        return [one for one in found if project_id in (None, one.project_id)]

    def of_host(self, host: str) -> list[tuple[str, MaintainedHost]]:
        """Return the sessions of a host with the host's part in them, the newest report first."""
        query = sa.select(table).where(table.c.project_id == NO_PROJECT)
        with self._database.read() as connection:
            found = [_session(row) for row in connection.execute(query)]
        listed = [(one.session_id, part) for one in found for part in one.hosts if part.host == host]
        return sorted(listed, key=lambda each: each[1].at, reverse=True)

    def record_answer(self, session: MaintenanceSession, answer: MaintenanceAnswer) -> None:
        """Record an answer to the state of *session*; a newer state stays unanswered."""

        def decide(known: dict[str, MaintenanceSession]) -> list[MaintenanceSession]:
            one = known.get(session.project_id)
            if one is None:
                return []
            answered = one.answered or one.message_id == session.message_id
            alarmed = one.alarmed_at(answer.at) if answered else one.alarmed
            answers = (*one.answers, answer)[-ANSWERS_KEPT:]
            return [dataclasses.replace(one, answers=answers, answered=answered, alarmed=alarmed)]

        self.update(session.session_id, decide)

    def overdue(self, now: datetime.datetime) -> list[MaintenanceSession]:
        """Return the sessions whose ``maintenance.unanswered`` is to be raised or may be to be cleared."""
        due = sa.and_(table.c.due_at <= now, ~table.c.answered)
        query = sa.select(table).where(sa.or_(due, table.c.alarmed != ""))
        with self._database.read() as connection:
            return [_session(row) for row in connection.execute(query)]

    def mark_alarmed(self, session: MaintenanceSession, alarmed: str) -> None:
        """Record that the broker has the event ``maintenance.unanswered`` about a state, or its end."""
        same = sa.and_(_key(session.session_id, session.project_id), table.c.alarmed == session.alarmed)
        with self._database.begin() as connection:
            connection.execute(sa.update(table).where(same).values(alarmed=alarmed))

    def forget(self, before: datetime.datetime) -> None:
        """Remove sessions of which nothing was reported since then and nothing was planned for later."""
        old = sa.and_(table.c.at < before, sa.or_(table.c.due_at.is_(None), table.c.due_at < before))
        with self._database.begin() as connection:
            found = [_session(row) for row in connection.execute(sa.select(table).where(old))]
            for one in found:
                if one.planned_until < before:
                    this = sa.and_(_key(one.session_id, one.project_id), table.c.at == one.at)
                    connection.execute(sa.delete(table).where(this))


def _key(session_id: str, project_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.session_id == to_key(session_id), table.c.project_id == project_id)


def _put(
    connection: sa.Connection, found: Iterable[MaintenanceSession], known: dict[str, MaintenanceSession]
) -> None:
    for one in found:
        if known.get(one.project_id) == one:
            continue
        row = _row(one)
        if one.project_id in known:
            this = _key(one.session_id, one.project_id)
            connection.execute(sa.update(table).where(this).values(row))
        else:
            connection.execute(sa.insert(table), [row])


def _row(one: MaintenanceSession) -> dict[str, Any]:
    values = dataclasses.asdict(one)
    row = {name: values.pop(name) for name in COLUMNS}
    return row | {
        "session_id": to_key(one.session_id),
        "state": clean(one.state)[:STATE_LENGTH],
        "message_id": to_key(one.message_id),
        "body": json.dumps(values, default=datetime.datetime.isoformat),
    }


def _session(row: Any) -> MaintenanceSession:
    body = _read(json.loads(row.body))
    body["allowed_actions"] = tuple(body["allowed_actions"])
    for name, kind in (
        ("hosts", MaintainedHost),
        ("instances", MaintainedInstance),
        ("answers", MaintenanceAnswer),
    ):
        body[name] = tuple(kind(**_read(one)) for one in body[name])
    return MaintenanceSession(**{name: getattr(row, name) for name in COLUMNS}, **body)


def _read(values: dict[str, Any]) -> dict[str, Any]:
    for name in TIMES & values.keys():
        values[name] = None if values[name] is None else parse_time(values[name])
    if "status" in values and "instance_id" in values:
        values["status"] = InstanceStatus(values["status"])
    return values
