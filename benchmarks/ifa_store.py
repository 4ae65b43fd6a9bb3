"""A filled database for the IFA API: occurrences and transitions in bulk, as the evaluator writes them.

One project owns half of the alarms. Of the alarms of our evaluator every second one is raised, at any moment
of the last day; each has five occurrences with two transitions. In addition there are a tenth as many
threshold alarms, every second one in alarm, with ten records each in Aodh's history.
"""

from __future__ import annotations

import datetime
import itertools
import json
import random
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from benchmarks.arena import ALARM
from eventalarm.model import ALARM as RAISED
from eventalarm.model import OK, Kind, object_alarm_id
from eventalarm.storage import tables
from eventalarm.trial.own_cloud.load.workload import (
    AlarmSpec,
    EventSpec,
    alarm_row,
    body,
    project_name,
    resource_name,
    template,
)
from eventalarm.trial.own_cloud.progress import Progress

OCCURRENCES, RECORDS = 5, 10
OTHERS_SHARE = 10
CHUNK = 5000
DAY = datetime.timedelta(days=1)
HEX = "0123456789abcdef"
PLACE = "THE-RESOURCE"
FILLED = ("alarm", "alarm_history", tables.occurrence.name, tables.transition.name)


@dataclass(frozen=True)
class Store:
    """What was stored: the project with most alarms, one raised alarm of it, and the numbers of rows."""

    project: str
    alarm_id: str
    alarms: int
    transitions: int


class Filler:
    """Fills the database at *engine* with *alarms* alarms of our evaluator, up to the moment *now*."""

    def __init__(self, engine: sa.Engine, alarms: int, seed: int, now: datetime.datetime) -> None:
        self._engine = engine
        self._alarms = alarms
        self._chance = random.Random(f"{seed} ifa")
        self._now = now
        self._projects = [project_name(number, "ifa") for number in range(50)]

    def fill(self, progress: Progress) -> Store:
        """Insert everything and report to *progress*."""
        alarms = list(self._own_alarms())
        self._insert(ALARM, alarms, progress, "alarms")
        self._insert(tables.occurrence, self._occurrences(alarms), progress, "occurrences")
        self._transitions(progress)
        others = list(self._thresholds())
        self._insert(ALARM, others, progress, "thresholds")
        self._insert(tables.alarm_history, self._records(others), progress, "records of history")
        progress.say("collecting statistics")
        word = "ANALYZE" if self._engine.name == "postgresql" else "ANALYZE TABLE"
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for name in FILLED:
                connection.exec_driver_sql(f"{word} {name}")
            count = sa.select(sa.func.count()).select_from(tables.transition)
            transitions = connection.execute(count).scalar_one()
        return Store(self._projects[0], alarms[0]["alarm_id"], len(alarms) + len(others), transitions)

    def _insert(self, table: Any, rows: Iterable[dict[str, Any]], progress: Progress, what: str) -> None:
        progress.say(f"inserting {what}")
        source, count = iter(rows), 0
        while chunk := list(itertools.islice(source, CHUNK)):
            with self._engine.begin() as connection:
                connection.execute(sa.insert(table), chunk)
            count += len(chunk)
            progress.tick(f"{count:,} {what}")

    def _owner(self, number: int) -> str:
        return self._projects[0 if number % 2 == 0 else 1 + number % (len(self._projects) - 1)]

    def _row(self, number: int, label: str, raised: bool) -> dict[str, Any]:
        spec = AlarmSpec(self._owner(number // 2), resource_name(number, label))
        row = alarm_row(spec, (self._now - 30 * DAY).replace(tzinfo=None))
        severity = self._chance.choices(("critical", "moderate", "low"), (2, 10, 88))[0]
        return {**row, "state": "alarm" if raised else "ok", "severity": severity}

    def _own_alarms(self) -> Iterator[dict[str, Any]]:
        for number in range(self._alarms):
            yield self._row(number, "ifa", raised=number % 2 == 0)

    def _thresholds(self) -> Iterator[dict[str, Any]]:
        for number in range(self._alarms // OTHERS_SHARE):
            row = self._row(number, "threshold", raised=number % 2 == 0)
            rule = {
                "metric": "cpu_util",
                "resource_type": "instance",
                "resource_id": resource_name(number, "threshold"),
            }
            yield {**row, "type": "gnocchi_resources_threshold", "rule": rule}

    def _occurrences(self, alarms: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in alarms:
            resource = row["rule"]["query"][0]["value"]
            newest = self._now - DAY * self._chance.random()
            for age in range(OCCURRENCES):
                raised_at = newest - age * DAY
                raised = age == 0 and row["state"] == "alarm"
                over = None if raised else raised_at + datetime.timedelta(minutes=5)
                yield {
                    "occurrence_id": str(uuid.UUID(int=self._chance.getrandbits(128), version=4)),
                    "alarm_id": row["alarm_id"],
                    "project_id": row["project_id"],
                    "managed_object": resource,
                    "latest": True if age == 0 else None,
                    "raised": raised,
                    "event_time": raised_at,
                    "raised_at": raised_at,
                    "changed_at": over,
                    "cleared_at": over,
                    "hits": 2,
                    "object_id": object_alarm_id(row["alarm_id"], resource),
                }

    def _transitions(self, progress: Progress) -> None:
        """Let the database create two transitions of each occurrence, in the random order of their ids."""
        progress.say("making transitions")
        event = body(EventSpec(self._projects[0], PLACE, PLACE), self._now.replace(tzinfo=None), template())
        text = json.dumps(event)
        for done, digit in enumerate(HEX):
            with self._engine.begin() as connection:
                for first in (True, False):
                    made = _transition(text, first, digit)
                    connection.execute(
                        tables.transition.insert().from_select([c.name for c in made.selected_columns], made)
                    )
            progress.tick(f"{(done + 1) / len(HEX):.0%} of the transitions")

    def _records(self, others: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in others:
            newest = self._now - DAY * self._chance.random()
            first = "alarm" if row["state"] == "alarm" else "ok"
            words = itertools.islice(itertools.cycle((first, "ok" if first == "alarm" else "alarm")), RECORDS)
            for age, state in enumerate(words):
                yield {
                    "event_id": str(uuid.UUID(int=self._chance.getrandbits(128), version=4)),
                    "alarm_id": row["alarm_id"],
                    "type": "state transition",
                    "detail": json.dumps({"state": state, "transition_reason": "Transition by a threshold"}),
                    "timestamp": newest - age * DAY / 4,
                    "project_id": row["project_id"],
                    "on_behalf_of": row["project_id"],
                }


def _transition(event: str, first: bool, digit: str) -> sa.Select[Any]:
    """Return the select that creates the first or second transitions; their ids begin with *digit*."""
    occurrence = tables.occurrence.c
    name = sa.func.md5(sa.func.concat(occurrence.occurrence_id, "first" if first else "second"))
    later = sa.func.coalesce(occurrence.cleared_at, occurrence.raised_at)
    kind: Any = (
        Kind.RAISED.value
        if first
        else sa.case((occurrence.raised, Kind.CHANGED.value), else_=Kind.CLEARED.value)
    )
    current: Any = RAISED if first else sa.case((occurrence.raised, RAISED), else_=OK)
    return sa.select(
        name.label("transition_id"),
        (sa.literal(kind) if first else kind).label("kind"),
        occurrence.occurrence_id,
        occurrence.alarm_id,
        occurrence.project_id,
        occurrence.managed_object,
        name.label("message_id"),
        sa.literal("fault of a server").label("alarm_name"),
        sa.literal("critical").label("severity"),
        sa.literal(OK if first else RAISED).label("previous"),
        (sa.literal(current) if first else current).label("current"),
        sa.literal("Event hits the query").label("reason"),
        sa.literal("compute.instance.update").label("event_type"),
        (occurrence.raised_at if first else later).label("event_time"),
        (occurrence.raised_at if first else later).label("recorded_at"),
        sa.func.replace(sa.literal(event), PLACE, occurrence.managed_object).label("event"),
    ).where(name.like(f"{digit}%"))
