"""Reads of Aodh's alarm definitions: by project, by id, and those that changed since an earlier look."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import ALARM, EPOCH, OK, UNKNOWN, Alarm, AlarmDefinition
from eventalarm.storage.change_window import ChangeWindow, Look
from eventalarm.storage.column_types import in_chunks
from eventalarm.storage.database import Database
from eventalarm.storage.definition_changes import look_for_changes
from eventalarm.storage.tables import alarm

DEFINITION_COLUMNS: Final = (
    alarm.c.alarm_id,
    alarm.c.project_id,
    alarm.c.type,
    alarm.c.timestamp,
    alarm.c.rule,
    alarm.c.ok_actions,
)
ROW_COLUMNS: Final = (
    *DEFINITION_COLUMNS,
    alarm.c.enabled,
    alarm.c.name,
    alarm.c.severity,
    alarm.c.state,
    alarm.c.repeat_actions,
    alarm.c.alarm_actions,
    alarm.c.insufficient_data_actions,
    alarm.c.time_constraints,
)
# Built once: where many alarms are edited, it is sent with every batch.
OF_ALARMS: Final = sa.select(*DEFINITION_COLUMNS).where(
    alarm.c.enabled,
    alarm.c.type.in_(sa.bindparam("types", expanding=True)),
    alarm.c.alarm_id.in_(sa.bindparam("alarm_ids", expanding=True)),
)
OF_PROJECTS: Final = (
    sa.select(*DEFINITION_COLUMNS)
    .where(
        alarm.c.enabled,
        alarm.c.type.in_(sa.bindparam("types", expanding=True)),
        alarm.c.project_id.in_(sa.bindparam("project_ids", expanding=True)),
    )
    .order_by(alarm.c.project_id)
    .limit(sa.bindparam("most"))
)
NEVER: Final = EPOCH


def _same_project(project_id: str) -> sa.ColumnElement[bool]:
    same: sa.ColumnElement[bool] = alarm.c.project_id == project_id
    return same if project_id else sa.or_(same, alarm.c.project_id.is_(None))


def _may_be_equal(one: str, other: str) -> bool:
    """Return True if a collation of the database may sort two ids as equal."""
    if not (one.isascii() and other.isascii()):
        return True
    return one.casefold().rstrip() == other.casefold().rstrip()


def _actions(value: Any) -> tuple[str, ...]:
    return tuple(a for a in value if isinstance(a, str)) if isinstance(value, list) else ()


def to_definition(row: Any) -> AlarmDefinition:
    """Return the definition of a row of DEFINITION_COLUMNS; NULL becomes the empty value of its type."""
    return AlarmDefinition(
        alarm_id=row.alarm_id,
        project_id=row.project_id or "",
        type=row.type or "",
        version=row.timestamp or NEVER,
        rule=row.rule if isinstance(row.rule, dict) else {},
        has_ok_actions=bool(_actions(row.ok_actions)),
    )


def to_alarm(row: Any) -> Alarm:
    """Return the alarm of a row of ROW_COLUMNS."""
    constraints = row.time_constraints if isinstance(row.time_constraints, list) else []
    return Alarm(
        definition=to_definition(row),
        enabled=bool(row.enabled),
        name=row.name or "",
        severity=row.severity,
        state=row.state or UNKNOWN,
        repeat_actions=bool(row.repeat_actions),
        actions={
            OK: _actions(row.ok_actions),
            ALARM: _actions(row.alarm_actions),
            UNKNOWN: _actions(row.insufficient_data_actions),
        },
        time_constraints=tuple(c for c in constraints if isinstance(c, dict)),
    )


def read_alarm(database: Database, alarm_id: str) -> Alarm | None:
    """Return the alarm of exactly this id as it is now, or None; takes no lock."""
    with database.read() as connection:
        row = connection.execute(sa.select(*ROW_COLUMNS).where(alarm.c.alarm_id == alarm_id)).first()
    # Collations may fold case.
    return to_alarm(row) if row is not None and row.alarm_id == alarm_id else None


class AlarmReader:
    """Reads definitions of the given alarm *types*; takes no locks.

    :param reload_interval: seconds after which every definition is read again, regardless of its timestamp.
    """

    def __init__(self, database: Database, types: Sequence[str], reload_interval: float = 3600.0) -> None:
        self._database = database
        self._types = tuple(types)
        self._reload_interval = reload_interval

    def now(self) -> datetime.datetime:
        """Return the database's clock, or what it would show without its steps since the last full reload.

        The earlier of the two: the clocks of the hosts that write the timestamps of definitions were not
        stepped, and a look that begins too late misses an alarm (G3).
        """
        return self._database.earliest_now(self._reload_interval)

    def changed_since(
        self, moment: datetime.datetime, looked_at: datetime.datetime, window: ChangeWindow | None
    ) -> Look:
        """Return the alarms whose definition changed at or after *moment* and that are not in *window*."""
        with self._database.read() as connection:
            return self.look(connection, moment, looked_at, window)()

    def look(
        self,
        connection: sa.Connection,
        moment: datetime.datetime,
        looked_at: datetime.datetime,
        window: ChangeWindow | None,
    ) -> Callable[[], Look]:
        """Return the function that returns what :meth:`changed_since` returns; it is asked for now."""
        asked_at = time.monotonic()
        finish = look_for_changes(connection, moment, looked_at, window)

        def read() -> Look:
            found = finish()
            if found.now is not None:
                self._database.clock.observe(found.now, asked_at)
            return found

        return read

    def _enabled(self) -> sa.Select[Any]:
        return sa.select(*DEFINITION_COLUMNS).where(alarm.c.enabled, alarm.c.type.in_(self._types))

    def of_project(self, project_id: str) -> Iterable[AlarmDefinition]:
        """Return the enabled alarms of a project."""
        with self._database.read() as connection:
            rows = connection.execute(self._enabled().where(_same_project(project_id))).all()
        # Collations may fold case or trailing spaces; projects must match exactly (G5).
        return [d for d in map(to_definition, rows) if d.project_id == project_id]

    def of_projects(self, project_ids: Sequence[str], limit: int) -> Mapping[str, Sequence[AlarmDefinition]]:
        """Return the enabled alarms of each project, with one statement for about *limit* alarms.

        Projects with more alarms than that are left out.

        :param project_ids: not empty strings, and few enough for one statement.
        """
        found: dict[str, Sequence[AlarmDefinition]] = {}
        left = list(project_ids)
        while left:
            some, cut = self._some_of(left, limit)
            found |= some
            # If no other was complete, those that were cut off have more than the limit.
            left = [one for one in left if one not in some and (some or one not in cut)] if cut else []
        return found

    def _some_of(
        self, project_ids: Sequence[str], limit: int
    ) -> tuple[Mapping[str, Sequence[AlarmDefinition]], Collection[str]]:
        """Read at most *limit* alarms; return those of complete projects, and the projects that are cut off.

        If none is cut off, all are complete.
        """
        with self._database.read() as connection:
            rows = connection.execute(
                OF_PROJECTS, {"types": self._types, "project_ids": project_ids, "most": limit + 1}
            ).all()
        found: dict[str, list[AlarmDefinition]] = {project_id: [] for project_id in project_ids}
        for one in map(to_definition, rows):
            # As in of_project: the database may find projects whose ids differ in case.
            if one.project_id in found:
                found[one.project_id].append(one)
        if len(rows) <= limit:
            return found, ()
        last = rows[-1].project_id
        cut = [one for one in project_ids if _may_be_equal(one, last)]
        return {one: of for one, of in found.items() if of and one not in cut}, cut

    def has_more_than(self, project_id: str, number: int) -> bool:
        """Return True if a project has more than *number* enabled alarms."""
        one = self._enabled().with_only_columns(sa.literal(1)).where(_same_project(project_id))
        with self._database.read() as connection:
            return connection.execute(one.offset(number).limit(1)).first() is not None

    def crowded_projects(self, number: int) -> Sequence[tuple[str, int]]:
        """Return the projects with more than *number* enabled alarms and their numbers, the largest first."""
        counted = sa.func.count().label("counted")
        many = (
            self._enabled()
            .with_only_columns(alarm.c.project_id, counted)
            .group_by(alarm.c.project_id)
            .having(counted > number)
            .order_by(counted.desc())
        )
        with self._database.read() as connection:
            return [(row.project_id or "", row.counted) for row in connection.execute(many)]

    def of_alarms(self, alarm_ids: Collection[str]) -> Iterable[AlarmDefinition]:
        """Return the definitions of *alarm_ids* that are enabled and of the reader's types."""
        found: list[AlarmDefinition] = []
        with self._database.read() as connection:
            for chunk in in_chunks(alarm_ids):
                rows = connection.execute(OF_ALARMS, {"types": self._types, "alarm_ids": chunk})
                found.extend(map(to_definition, rows))
        return found
