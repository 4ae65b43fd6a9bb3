"""Acknowledgements of occurrences: one row for each pair of alarm and managed object."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from eventalarm.storage.database import Database
from eventalarm.storage.tables import acknowledgement


@dataclasses.dataclass(frozen=True, slots=True)
class Acknowledgement:
    """When and by whom an occurrence (``life``) of an alarm on a managed object was acknowledged."""

    object_id: str
    alarm_id: str
    project_id: str
    life: str
    acknowledged_at: datetime.datetime
    user_id: str


class Acknowledgements:
    """Reads and writes on one database; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, object_ids: Collection[str]) -> dict[tuple[str, str], datetime.datetime]:
        """Return when the acknowledged occurrences of objects were, by object id and occurrence."""
        if not object_ids:
            return {}
        columns = (acknowledgement.c.object_id, acknowledgement.c.life, acknowledgement.c.acknowledged_at)
        query = sa.select(*columns).where(acknowledgement.c.object_id.in_(sorted(object_ids)))
        with self._database.read() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(query)}

    def find(self, object_id: str) -> Acknowledgement | None:
        """Return the acknowledgement of an (alarm, managed object), whichever occurrence it is of."""
        columns = [acknowledgement.c[field.name] for field in dataclasses.fields(Acknowledgement)]
        query = sa.select(*columns).where(acknowledgement.c.object_id == object_id)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else Acknowledgement(*row)

    def add(self, note: Acknowledgement) -> bool:
        """Record *note*; return False if the occurrence is already acknowledged."""
        this = acknowledgement.c.object_id == note.object_id
        row: dict[str, Any] = dataclasses.asdict(note)
        try:
            with self._database.begin() as connection:
                held = sa.select(acknowledgement.c.life).where(this).with_for_update()
                if connection.execute(held).scalar() == note.life:
                    return False
                connection.execute(sa.delete(acknowledgement).where(this))
                connection.execute(sa.insert(acknowledgement), row)
        except db_exception.DBDuplicateEntry:
            return False
        return True

    def remove(self, object_id: str, life: str) -> bool:
        """Remove the acknowledgement of an occurrence; return False if there is none."""
        statement = sa.delete(acknowledgement).where(
            acknowledgement.c.object_id == object_id, acknowledgement.c.life == life
        )
        with self._database.begin() as connection:
            return connection.execute(statement).rowcount > 0
