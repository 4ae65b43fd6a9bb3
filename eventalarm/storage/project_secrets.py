"""The signing secrets of projects: created, rotated and read; their values are encrypted by the caller."""

from __future__ import annotations

import dataclasses
import datetime

import sqlalchemy as sa
from oslo_db import exception as db_exception

from eventalarm.storage.column_types import clean
from eventalarm.storage.database import Database
from eventalarm.storage.errors import retry_conflicts
from eventalarm.storage.tables import project_secret as table


@dataclasses.dataclass(frozen=True, slots=True)
class ProjectSecret:
    """The signing secret of a project, and the one before it until ``previous_expires_at``; both encrypted.

    ``created_at`` is when ``secret`` was made, ``changed_at`` when the row was last written, both by the
    database's clock.
    """

    project_id: str
    secret: str
    created_at: datetime.datetime
    changed_at: datetime.datetime
    previous: str | None = None
    previous_expires_at: datetime.datetime | None = None

    def valid_at(self, now: datetime.datetime) -> tuple[str, ...]:
        """Return the secrets that sign at *now*, the newest first."""
        if self.previous is None or self.previous_expires_at is None or self.previous_expires_at <= now:
            return (self.secret,)
        return self.secret, self.previous


class ProjectSecrets:
    """Reads and writes on one database; safe to share between threads.

    Every method raises :class:`eventalarm.exceptions.Retryable` when the database failed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, project_id: str, secret: str) -> ProjectSecret | None:
        """Store the first secret of a project; return None if it has one."""
        now = self._database.now()
        made = ProjectSecret(clean(project_id), secret, now, now)
        try:
            with self._database.begin() as connection:
                connection.execute(sa.insert(table), [dataclasses.asdict(made)])
        except db_exception.DBDuplicateEntry:
            return None
        return made

    @retry_conflicts
    def rotate(self, project_id: str, secret: str, overlap: datetime.timedelta) -> ProjectSecret | None:
        """Replace the secret of a project, whose present one stays valid for *overlap*; None: it has none.

        The one before the present one ends at once: at most two are valid.
        """
        now = self._database.now()
        with self._database.begin() as connection:
            known = _one(connection, project_id, lock=True)
            if known is None:
                return None
            made = ProjectSecret(
                known.project_id,
                secret,
                now,
                now,
                previous=known.secret if overlap else None,
                previous_expires_at=now + overlap if overlap else None,
            )
            connection.execute(_update(known).values(dataclasses.asdict(made)))
        return made

    def get(self, project_id: str) -> ProjectSecret | None:
        """Return the secret of a project, or None."""
        with self._database.read() as connection:
            return _one(connection, project_id)

    def changed_since(self, moment: datetime.datetime | None) -> list[ProjectSecret]:
        """Return the secrets that were written at *moment* or later; None: all of them."""
        query = sa.select(table)
        if moment is not None:
            query = query.where(table.c.changed_at >= moment)
        with self._database.read() as connection:
            return [ProjectSecret(**row._mapping) for row in connection.execute(query)]

    def renew(self, known: ProjectSecret, secret: str, previous: str | None) -> None:
        """Replace the encrypted texts of *known*, unless it was rotated meanwhile."""
        values = {"secret": secret, "previous": previous, "changed_at": self._database.now()}
        with self._database.begin() as connection:
            connection.execute(_update(known).where(table.c.secret == known.secret).values(values))


def _update(known: ProjectSecret) -> sa.Update:
    return sa.update(table).where(table.c.project_id == known.project_id)


def _one(connection: sa.Connection, project_id: str, *, lock: bool = False) -> ProjectSecret | None:
    project_id = clean(project_id)
    query = sa.select(table).where(table.c.project_id == project_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    # Compared here as well: databases may compare strings without regard to trailing spaces.
    return ProjectSecret(**row._mapping) if row is not None and row.project_id == project_id else None
