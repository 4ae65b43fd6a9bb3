"""Filled tables for the pages of the ingest API: deliveries and recorded events of two projects.

Some rows are made, then all of them are copied, under new ids, until there are enough: so many moments have
many rows each, as those of a storm do.
"""

from __future__ import annotations

import json
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.storage import event_tables, tables
from eventalarm.storage.database import Database
from eventalarm.trial.own_cloud.load.workload import EventSpec, body, template
from eventalarm.trial.own_cloud.progress import Progress
from tests.support.delivery_rows import SECOND, START, delivery_row, put

FIRST: Final = 5000
PROJECT: Final = "tenant"
OTHER: Final = "another"
# One of so many deliveries has failed, is of the rare alarm, and goes to the rare destination; one of so many
# events is of the rare type.
RARE: Final = 1000
# The first digit of the record ids of the events about which a decision is recorded: one in sixteen.
DECIDED: Final = "a"


class PageStore:
    """Fills *database* with *number* rows of each kind."""

    def __init__(self, database: Database, number: int, progress: Progress) -> None:
        self._database = database
        self._number = number
        self._progress = progress

    def fill(self) -> None:
        """Write deliveries, recorded events and decisions, and collect statistics."""
        first = range(min(FIRST, self._number))
        put(self._database, [_delivery(number) for number in first])
        self._copy(tables.delivery, "delivery_id", generated="seq")
        event = json.dumps(body(EventSpec(PROJECT, "vm", "m"), START.replace(tzinfo=None), template()))
        with self._database.begin() as connection:
            connection.execute(
                sa.insert(event_tables.recorded_event), [_event(number, event) for number in first]
            )
        self._copy(event_tables.recorded_event, "record_id")
        self._decide()
        for name in (tables.delivery, tables.transition, event_tables.recorded_event):
            self._collect_statistics(name)

    def _copy(self, table: sa.Table, key: str, generated: str = "") -> None:
        copied = [column for column in table.columns if column.name not in (key, generated)]
        written = min(FIRST, self._number)
        while written < self._number:
            new_id = sa.func.md5(sa.func.concat(table.c[key], f"/{written}"))
            query = sa.select(new_id, *copied).limit(self._number - written)
            insert = sa.insert(table).from_select([key, *(column.name for column in copied)], query)
            with self._database.begin() as connection:
                connection.execute(insert)
            written = min(2 * written, self._number)
            self._progress.say(f"{written:,} rows of {table.name}")

    def _decide(self) -> None:
        event, table = event_tables.recorded_event, event_tables.recorded_decision
        query = sa.select(
            event.c.record_id,
            sa.literal("alarm-1"),
            event.c.managed_object,
            sa.literal("not_matched"),
            sa.literal("ok"),
            event.c.recorded_at,
        ).where(event.c.record_id.like(f"{DECIDED}%"))
        with self._database.begin() as connection:
            connection.execute(sa.insert(table).from_select([column.name for column in table.c], query))

    def _collect_statistics(self, table: sa.Table) -> None:
        word = "ANALYZE" if self._database.dialect == "postgresql" else "ANALYZE TABLE"
        with self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"{word} {table.name}")


def _project(number: int) -> str:
    return PROJECT if number % 10 else OTHER


def _delivery(number: int) -> dict[str, object]:
    if number % RARE == 1:
        rare = {"alarm_id": "rare", "action": "https://rare.example.org/hook"}
        return delivery_row(_project(number), number, "failed", **rare)
    latency = number / FIRST
    return delivery_row(
        _project(number), number, "delivered", alarm_id=f"alarm-{number % 100}", latency=latency
    )


def _event(number: int, event: str) -> dict[str, Any]:
    at = START + number * SECOND
    return {
        "record_id": f"r-{number}",
        "project_id": _project(number),
        "message_id": f"tenant-{number}",
        "event_type": "rare.event" if number % RARE == 1 else "compute.instance.update",
        "managed_object": f"vm-{number % 500}",
        "event_time": at,
        "recorded_at": at,
        "size": len(event),
        "body": event,
    }
