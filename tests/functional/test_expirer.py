"""What the expirer removes and what it leaves, on real databases."""

from __future__ import annotations

import datetime
import itertools
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.cmd import expirer as command
from eventalarm.model import UTC
from eventalarm.storage import (
    circuit_tables,
    database,
    expire,
    ifa_tables,
    operational_tables,
    pulse_tables,
    tables,
)
from eventalarm.storage.column_types import UtcDateTime
from eventalarm.storage.upgrade import upgrade
from tests.support import inprocess

DAY = datetime.timedelta(days=1)
KEEP = 30 * DAY
NOW = datetime.datetime.now(UTC)
OLD = NOW - 40 * DAY
NEW = NOW - DAY
NUMBERS = itertools.count()


@pytest.fixture
def opened(our_database_url: str) -> Iterator[database.Database]:
    """A database with Aodh's schema and ours, once on each engine."""
    result = database.connect(our_database_url)
    yield result
    result.dispose()


def insert(opened: database.Database, table: sa.Table, **values: Any) -> None:
    """Add one row: *values*, and a valid value in every other mandatory column."""
    for column in table.columns:
        if column.name in values or column.nullable or column.server_default or column.autoincrement is True:
            continue
        if isinstance(column.type, UtcDateTime):
            values[column.name] = NEW
        elif isinstance(column.type, sa.Boolean):
            values[column.name] = False
        else:
            values[column.name] = 1 if isinstance(column.type, sa.Integer) else f"x{next(NUMBERS)}"
    with opened.engine.begin() as connection:
        connection.execute(sa.insert(table), values)


def names(opened: database.Database, column: sa.Column[Any]) -> set[str]:
    with opened.read() as connection:
        return set(connection.execute(sa.select(column)).scalars())


def occurrence(opened: database.Database, name: str, **values: Any) -> None:
    insert(opened, tables.occurrence, occurrence_id=name, raised_at=OLD, **values)


def transition(opened: database.Database, name: str, occurrence_id: str, at: datetime.datetime) -> None:
    insert(opened, tables.transition, transition_id=name, occurrence_id=occurrence_id, recorded_at=at)


def delivery(opened: database.Database, name: str, of: str, state: str, at: datetime.datetime | None) -> None:
    insert(opened, tables.delivery, delivery_id=name, transition_id=of, state=state, finished_at=at)


def run(opened: database.Database, **options: Any) -> dict[str, int]:
    return expire.expire(opened, KEEP, batch_size=options.pop("batch_size", 100), **options)


def test_expired_rows_are_removed_and_current_ones_stay(opened: database.Database) -> None:
    insert(opened, tables.alarm, alarm_id="alarm")
    occurrence(opened, "cleared", raised=False, latest=True, cleared_at=OLD)
    occurrence(opened, "cleared-new", raised=False, latest=True, cleared_at=NEW)
    occurrence(opened, "raised", raised=True, latest=True, alarm_id="alarm")
    occurrence(opened, "waiting", raised=False, latest=True, cleared_at=OLD)
    occurrence(opened, "orphan", raised=True, latest=True, alarm_id="deleted")
    for owner in ("cleared", "raised", "orphan", "waiting"):
        transition(opened, f"{owner}-old", owner, OLD)
        transition(opened, f"{owner}-new", owner, NEW)
    transition(opened, "waiting-too", "waiting", OLD)
    transition(opened, "cleared-first", "cleared", OLD)
    transition(opened, "of-nothing", "gone", OLD)
    delivery(opened, "done", "cleared-first", "delivered", OLD)
    delivery(opened, "given-up", "cleared-old", "failed", OLD)
    delivery(opened, "pending", "waiting-old", "pending", None)
    delivery(opened, "leased", "waiting-too", "leased", None)
    delivery(opened, "done-new", "waiting-new", "delivered", NEW)
    for of, at in (("alarm", OLD), ("gone", OLD), ("gone-new", NEW)):
        insert(opened, ifa_tables.acknowledgement, object_id=of, alarm_id=of, acknowledged_at=at)
        insert(opened, tables.timer, timer_id=of, alarm_id=of, armed_at=at)
    insert(opened, tables.timer, timer_id="awaited", alarm_id="gone", armed_at=OLD, due_at=OLD)
    for name, state, at in (("a", "closed", OLD), ("b", "closed", NEW), ("b", "disabled", OLD)):
        values = {"project_id": f"{name}-{state}", "destination": name, "state": state, "changed_at": at}
        insert(opened, circuit_tables.destination, **values)
    for state, at in (("published", OLD), ("published", NEW), ("ready", OLD)):
        values = {"state": state, "at": at, "once": f"{state}-{at.isoformat()}"}
        insert(opened, operational_tables.operational_event, **values)
    for at in (OLD, NEW):
        insert(opened, pulse_tables.pulse_change, at=at, target=at.isoformat())
    insert(opened, tables.worker, worker_id="dead", expires_at=OLD)
    insert(opened, tables.worker, worker_id="quiet", expires_at=NEW)
    insert(opened, tables.worker, worker_id="alive", expires_at=NOW + DAY)

    removed = run(opened)

    assert names(opened, tables.delivery.c.delivery_id) == {"pending", "leased", "done-new"}
    assert names(opened, tables.transition.c.transition_id) == {
        *("raised-old", "raised-new", "cleared-new", "orphan-new"),
        *("waiting-old", "waiting-too", "waiting-new"),
    }
    assert names(opened, tables.occurrence.c.occurrence_id) == {
        *("cleared", "cleared-new", "raised", "waiting", "orphan"),
    }
    assert names(opened, ifa_tables.acknowledgement.c.object_id) == {"alarm", "gone-new"}
    assert names(opened, tables.timer.c.timer_id) == {"alarm", "gone-new", "awaited"}
    assert names(opened, circuit_tables.destination.c.project_id) == {"b-closed", "b-disabled"}
    left = {f"published-{NEW.isoformat()}", f"ready-{OLD.isoformat()}"}
    assert names(opened, operational_tables.operational_event.c.once) == left
    assert names(opened, pulse_tables.pulse_change.c.target) == {NEW.isoformat()}
    assert names(opened, tables.worker.c.worker_id) == {"alive", "quiet"}
    assert removed == {
        "deliveries": 2,
        "attempts of removed deliveries": 0,
        "transitions": 4,
        "events": 0,
        "occurrences": 0,
        "occurrences of deleted alarms": 0,
        "acknowledgements of deleted alarms": 1,
        "suspected messages": 0,
        "closed circuits": 1,
        "published operational events": 1,
        "changes of health checks": 1,
        "counts of deleted alarms": 0,
        "timers of deleted alarms": 1,
        "workers": 1,
    }


def test_occurrences_are_removed_after_their_transitions(opened: database.Database) -> None:
    insert(opened, tables.alarm, alarm_id="alarm")
    occurrence(opened, "cleared", raised=False, latest=True, cleared_at=OLD)
    occurrence(opened, "before", raised=False, cleared_at=OLD, alarm_id="alarm")
    occurrence(opened, "raised", raised=True, latest=True, alarm_id="alarm")
    occurrence(opened, "orphan", raised=True, latest=True, alarm_id="deleted")
    for owner in ("cleared", "before", "raised", "orphan"):
        transition(opened, f"t-{owner}", owner, OLD)

    removed = run(opened)

    assert names(opened, tables.occurrence.c.occurrence_id) == {"raised"}
    assert names(opened, tables.transition.c.transition_id) == {"t-raised"}
    assert (removed["occurrences"], removed["occurrences of deleted alarms"]) == (2, 1)


def test_rows_of_the_same_age_are_removed_in_batches(opened: database.Database) -> None:
    insert(opened, tables.alarm, alarm_id="alarm")
    occurrence(opened, "raised", raised=True, latest=True, alarm_id="alarm")
    for number in range(25):
        transition(opened, f"stays-{number}", "raised", OLD)
        transition(opened, f"goes-{number}", "gone", OLD if number < 20 else OLD + DAY)
    reports = []
    run(opened, batch_size=4, progress=lambda *report: reports.append(report))
    assert reports == [("transitions", count) for count in (4, 8, 12, 16, 20, 24, 25)]
    assert names(opened, tables.transition.c.transition_id) == {f"stays-{number}" for number in range(25)}


@pytest.mark.parametrize("engine", ["mariadb", "postgresql"])
def test_a_delivery_that_is_retried_meanwhile_stays(engine: str, request: pytest.FixtureRequest) -> None:
    opened = database.connect(request.getfixturevalue(f"our_{engine}_url"))
    other = database.connect(opened.engine.url.render_as_string(hide_password=False))
    transition(opened, "transition", "gone", OLD)
    delivery(opened, "given-up", "transition", "failed", OLD)
    delivery(opened, "done", "transition", "delivered", OLD)

    @sa.event.listens_for(opened.engine, "before_cursor_execute")
    def retry(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("DELETE FROM eventalarm_delivery"):
            retried = sa.update(tables.delivery).where(tables.delivery.c.delivery_id == "given-up")
            with other.begin() as connection:
                connection.execute(retried.values(state="pending", finished_at=None))

    assert run(opened)["deliveries"] == 1
    assert names(opened, tables.delivery.c.delivery_id) == {"given-up"}
    assert names(opened, tables.transition.c.transition_id) == {"transition"}
    other.dispose()
    opened.dispose()


def test_a_batch_is_tried_again_when_the_database_is_busy(aodh_sqlite_url: str) -> None:
    opened = database.connect(f"{aodh_sqlite_url}?timeout=0.01")
    upgrade(opened)
    transition(opened, "transition", "gone", OLD)
    pauses = []
    with opened.engine.connect() as other:
        other.execute(sa.update(tables.worker).values(host="x"))

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            other.rollback()

        assert run(opened, sleep=pause)["transitions"] == 1
    assert len(pauses) == 1
    opened.dispose()


def expirer(tmp_path: pathlib.Path, url: str, keep: int) -> subprocess.CompletedProcess[str]:
    config = tmp_path / "aodh.conf"
    config.write_text(f"[database]\nconnection = {url}\n[eventalarm]\nhistory_time_to_live = {keep}\n")
    return inprocess.run(command.main, "--config-file", str(config))


def test_the_command(aodh_sqlite_url: str, tmp_path: pathlib.Path) -> None:
    missing = expirer(tmp_path, aodh_sqlite_url, 3600)
    assert missing.returncode == 2
    assert "run eventalarm-dbsync" in missing.stderr

    opened = database.connect(aodh_sqlite_url)
    upgrade(opened)
    transition(opened, "transition", "gone", OLD)

    forever = expirer(tmp_path, aodh_sqlite_url, -1)
    assert (forever.returncode, forever.stderr) == (0, "")
    assert "keeps everything but recorded events forever" in forever.stdout
    assert names(opened, tables.transition.c.transition_id) == {"transition"}

    done = expirer(tmp_path, aodh_sqlite_url, 3600)
    assert (done.returncode, done.stderr) == (0, "")
    counts = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines()[1:])
    assert counts == {
        "  recorded events": "0",
        "  recorded events of projects with too many": "0",
        "  decisions about removed events": "0",
        "  deliveries": "0",
        "  attempts of removed deliveries": "0",
        "  transitions": "1",
        "  events": "0",
        "  occurrences": "0",
        "  occurrences of deleted alarms": "0",
        "  acknowledgements of deleted alarms": "0",
        "  suspected messages": "0",
        "  closed circuits": "0",
        "  published operational events": "0",
        "  changes of health checks": "0",
        "  counts of deleted alarms": "0",
        "  timers of deleted alarms": "0",
        "  workers": "0",
    }
    opened.dispose()
