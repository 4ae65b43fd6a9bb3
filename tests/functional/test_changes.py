"""Incremental reads of changed alarms on every database, compared with a read of the whole window."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.model import DefinitionChange
from eventalarm.storage.change_window import ChangeWindow
from eventalarm.storage.database import Database
from eventalarm.storage.definition_changes import FEW, look_for_changes
from eventalarm.storage.tables import alarm
from tests.support.builders import at, rule
from tests.support.engine_harness import alarm_row, insert_alarms, open_database

WINDOW = datetime.timedelta(seconds=10)


class _Looks:
    """Successive reads as in the listener; reads everything if the last one was long ago."""

    def __init__(self, database: Database, few: int = 0) -> None:
        self._database = database
        self._few = few
        self._looked_at = at(0)
        self._window: ChangeWindow | None = None
        self.rows = 0

    def at(self, now: datetime.datetime) -> list[DefinitionChange]:
        """Read changes; ``rows`` is the number of rows that the database returned."""
        self.rows = 0

        def count(connection: sa.Connection, cursor: Any, *_: object) -> None:
            self.rows += cursor.rowcount

        sa.event.listen(self._database.engine, "after_cursor_execute", count)
        try:
            with self._database.read() as connection:
                found = look_for_changes(
                    connection, self._looked_at - WINDOW, self._looked_at, self._window, few=self._few
                )()
        finally:
            sa.event.remove(self._database.engine, "after_cursor_execute", count)
        self._looked_at, self._window = now, found.window
        return list(found.changes)


def _window(database: Database, moment: datetime.datetime) -> dict[str, datetime.datetime]:
    query = sa.select(alarm.c.alarm_id, alarm.c.timestamp).where(alarm.c.timestamp >= moment)
    with database.read() as connection:
        return {row.alarm_id: row.timestamp for row in connection.execute(query)}


class _Table:
    """Edits alarms as hosts with different clocks do, and reuses timestamps, which is rare in reality."""

    def __init__(self, database: Database, seed: int) -> None:
        self._database = database
        self._random = random.Random(seed)
        self._ids: list[str] = []
        self._times: list[datetime.datetime] = []
        self._had: set[tuple[str, datetime.datetime]] = set()

    def change(self, now: datetime.datetime) -> None:
        """Create, edit, delete or exchange the times of some alarms."""
        kinds: list[Callable[[datetime.datetime], None]] = [
            self._create,
            self._edit,
            self._delete,
            self._swap,
        ]
        for _ in range(self._random.choice([0, 1, 1, 3, 30])):
            self._random.choices(kinds, [4, 4, 1, 1])[0](now)

    def _time(self, now: datetime.datetime) -> datetime.datetime:
        if self._times and self._random.random() < 0.3:
            return self._random.choice(self._times)
        late = self._random.choice([0, 0, 0.05, 3, -4, 3600]) * self._random.random()
        micros = datetime.timedelta(microseconds=self._random.randrange(3))
        self._times.append((now + datetime.timedelta(seconds=late)).replace(microsecond=0) + micros)
        return self._times[-1]

    def _create(self, now: datetime.datetime) -> None:
        moment = self._time(now)
        row = alarm_row(rule=rule("*"), timestamp=moment.replace(tzinfo=None))
        insert_alarms(self._database, row)
        self._ids.append(row["alarm_id"])
        self._had.add((row["alarm_id"], moment))

    def _edit(self, now: datetime.datetime) -> None:
        self._set(self._random.choice(self._ids) if self._ids else "", self._time(now))

    def _delete(self, now: datetime.datetime) -> None:
        if self._ids:
            gone = self._ids.pop(self._random.randrange(len(self._ids)))
            with self._database.begin() as connection:
                connection.execute(alarm.delete().where(alarm.c.alarm_id == gone))

    def _swap(self, now: datetime.datetime) -> None:
        """Let two alarms exchange their times: neither the count nor the sum of times reveals this."""
        there = _window(self._database, now - WINDOW)
        if len(there) > 1:
            (one, first), (other, second) = self._random.sample(sorted(there.items()), 2)
            self._set(one, second)
            self._set(other, first)

    def _set(self, alarm_id: str, moment: datetime.datetime) -> None:
        """Give an alarm a time that it never had: its versions differ only in their times."""
        if (alarm_id, moment) not in self._had:
            self._had.add((alarm_id, moment))
            with self._database.begin() as connection:
                connection.execute(
                    alarm.update().where(alarm.c.alarm_id == alarm_id).values(timestamp=moment)
                )


@pytest.mark.parametrize("few", [0, 20])
@pytest.mark.parametrize("seed", range(3))
def test_every_change_is_read(our_database_url: str, seed: int, few: int) -> None:
    with open_database(our_database_url) as database:
        table, looks = _Table(database, seed), _Looks(database, few)
        known: dict[str, datetime.datetime] = {}
        before = at(0)
        for number in range(40):
            now = at(0.3 * number)
            table.change(now)
            known |= {change.alarm_id: change.version for change in looks.at(now)}
            there = _window(database, before - WINDOW)
            assert {alarm_id: known.get(alarm_id) for alarm_id in there} == there, f"step {number}"
            before = now


class _Busy:
    """A thousand alarms changed in the ten seconds before they are read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        rows = [alarm_row(rule=rule("*"), timestamp=at(n / 100).replace(tzinfo=None)) for n in range(1000)]
        insert_alarms(database, *rows)
        self.ids = [row["alarm_id"] for row in rows]
        self.looks = _Looks(database, FEW)
        assert len(self.looks.at(at(10))) == 1000
        assert self.looks.at(at(10)) == []

    def edit(self, number: int, seconds: float) -> str:
        """Change an alarm; return its id."""
        changed: str = self.ids[number]
        edited = alarm.update().where(alarm.c.alarm_id == self.ids[number])
        with self._database.begin() as connection:
            connection.execute(edited.values(timestamp=at(seconds)))
        return changed

    def found(self) -> set[str]:
        """Look."""
        return {change.alarm_id for change in self.looks.at(at(10))}


@pytest.fixture
def busy(our_server_url: str) -> Iterator[_Busy]:
    """The same on each database that serves a cloud."""
    with open_database(our_server_url) as database:
        yield _Busy(database)


def test_only_recent_changes_are_read_again(busy: _Busy) -> None:
    edited = busy.edit(500, 10.0)
    assert busy.found() == {edited}
    assert busy.looks.rows == 12, "11 of a tenth of a second, and a sum"


def test_late_commits_are_read_with_few_extra_rows(busy: _Busy) -> None:
    edited = busy.edit(500, 9.0)
    assert busy.found() == {edited}
    assert busy.looks.rows == 11 + 152
    assert busy.found() == set()
    assert busy.looks.rows == 11


@pytest.mark.parametrize("seconds", [0.5, 5.0], ids="{} s before the window ends".format)
def test_the_whole_window_is_read_again_when_counts_differ(busy: _Busy, seconds: float) -> None:
    edited = busy.edit(999, seconds)
    assert busy.found() == {edited}
    assert busy.looks.rows == 10 + 150 + 1001, "9 and 149 alarms and a sum each, then all and the clock"
    assert busy.found() == set()
    assert busy.looks.rows == 10


def test_an_alarm_that_is_read_twice_is_kept(busy: _Busy) -> None:
    """Two edits, one of them committed late: the alarm that was read first is not lost."""
    edited = {busy.edit(500, 10.0), busy.edit(400, 0.5)}
    assert busy.found() == edited
