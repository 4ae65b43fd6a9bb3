"""What is in the database at the end of a run, as records of its history."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import sqlalchemy as sa

from eventalarm.storage.tables import alarm, delivery, transition
from eventalarm.trial.history.records import Delivery, Edit, Final, Transition
from eventalarm.trial.own_cloud.load.users import as_recorded
from eventalarm.trial.own_cloud.stage import Stage

EDITABLE = ("alarm_id", "name", "severity", "enabled", "alarm_actions")


def collect(stage: Stage, ignored: str = "") -> None:
    """Add transitions, deliveries and edited alarms to the history; *ignored* is a project to leave out."""
    edited = {edit.alarm_id for edit in stage.history.of(Edit)}
    query = sa.select(*(alarm.c[name] for name in EDITABLE)).where(alarm.c.alarm_id.in_(edited))
    with stage.cloud.database.read() as connection:
        rows = connection.execute(_columns(transition, Transition, ignored)).mappings().all()
        deliveries = connection.execute(_columns(delivery, Delivery, ignored)).mappings().all()
        finals = {row["alarm_id"]: as_recorded(dict(row)) for row in connection.execute(query).mappings()}
    for row in rows:
        times = {name: _epoch(row[name]) for name in ("event_time", "recorded_at")}
        stage.history.add(Transition(**{**row, **times}))
    stage.history.add(*(Delivery(**row) for row in deliveries))
    stage.history.add(*(Final(one, one in finals, finals.get(one, {})) for one in sorted(edited)))


def _columns(table: sa.Table, record: type[Any], ignored: str) -> sa.Select[Any]:
    columns = (table.c[field.name] for field in dataclasses.fields(record))
    return sa.select(*columns).where(table.c.project_id != ignored)


def _epoch(moment: datetime.datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
