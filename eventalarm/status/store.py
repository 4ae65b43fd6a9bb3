"""The checks of the database: reachable, its schema, living listeners, alarms, the outbox, what failed."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Final

import sqlalchemy as sa

from eventalarm import tacker_action
from eventalarm.model import DeliveryState
from eventalarm.status.outcome import Finding, Level
from eventalarm.storage import schema
from eventalarm.storage.database import Database
from eventalarm.storage.stats import living, outbox_figures
from eventalarm.storage.tables import alarm, delivery

DAY: Final = datetime.timedelta(days=1)
ACTIONS: Final = (alarm.c.alarm_actions, alarm.c.ok_actions, alarm.c.insufficient_data_actions)
MOST_LOOKED_AT: Final = 1000
RUN_LISTENER: Final = "start eventalarm-listener, or look into its log"


def look_at_schema(database: Database) -> Finding:
    """Compare Aodh's schema and ours with what this release needs."""
    status = schema.check(database)
    if status.state is schema.SchemaState.CURRENT:
        return Finding(Level.OK, f"Aodh's schema is there; {status.message}")
    problem, _, remedy = status.message.rpartition("; ")
    return Finding(Level.FAILED, problem, remedy)


def look_at_listeners(database: Database) -> Finding:
    """Count the processes whose lease is alive."""
    alive = living(database)
    hosts = sorted(set(alive.hosts))
    figures = {"processes": len(alive.hosts), "hosts": len(hosts)}
    if not hosts:
        return Finding(Level.FAILED, "no listener is alive", RUN_LISTENER, figures)
    shown = ", ".join(hosts[:5]) + (" and others" if len(hosts) > 5 else "")
    return Finding(Level.OK, f"{len(alive.hosts)} listener processes are alive on {shown}", figures=figures)


def look_at_alarms(database: Database) -> Finding:
    """Count what the listeners evaluate."""
    columns = (alarm.c.type, sa.func.count())
    ours = alarm.c.type.in_(("event", "notification"))
    query = sa.select(*columns).where(alarm.c.enabled, ours).group_by(alarm.c.type)
    with database.read() as connection:
        counts = {str(kind): int(number) for kind, number in connection.execute(query)}
    if not counts:
        return Finding(Level.OK, "no enabled event alarm: nothing can fire yet", figures={"event": 0})
    told = " and ".join(f"{number} enabled {kind} alarms" for kind, number in sorted(counts.items()))
    problem = _refused_by_tacker(database)
    if problem:
        return Finding(Level.WARNING, f"{told}; {problem}", "correct the action of the alarm", counts)
    return Finding(Level.OK, told, figures=counts)


def _refused_by_tacker(database: Database) -> str:
    """Name an event alarm whose action Tacker never takes: of these Aodh's API does not ask us."""
    texts = [sa.func.lower(sa.type_coerce(column, sa.Text)) for column in ACTIONS]
    query = sa.select(alarm.c.alarm_id, *ACTIONS).where(
        alarm.c.enabled,
        alarm.c.type == "event",
        sa.or_(*(text.like("%tacker+http%") for text in texts)),
    )
    with database.read() as connection:
        rows = connection.execute(query.order_by(alarm.c.alarm_id).limit(MOST_LOOKED_AT)).all()
    for alarm_id, *lists in rows:
        for action in (str(one) for actions in lists for one in actions or ()):
            if problem := tacker_action.problem(action):
                return f"alarm {alarm_id} has an action that Tacker refuses: {problem}"
    return ""


def look_at_outbox(database: Database, warn_after: float, fail_after: float) -> Finding:
    """Judge by how long the longest due delivery has been waiting, in seconds."""
    found = outbox_figures(database)
    told = f"{found.unfinished} deliveries are unfinished, {found.due} of them due"
    if found.due:
        told += f", the oldest for {found.oldest_due:.1f} s"
    level = Level.OK
    if found.oldest_due > warn_after:
        level = Level.FAILED if found.oldest_due > fail_after else Level.WARNING
    remedy = (
        "are listeners alive? If they are busy, run more of them or raise [eventalarm] workers; "
        "eventalarm-delivery list --state pending shows what waits"
    )
    return Finding(level, told, remedy if level is not Level.OK else "", dataclasses.asdict(found))


def look_at_failed(database: Database, now: datetime.datetime | None = None) -> Finding:
    """Count what was given up: a warning when some of it was within the last day."""
    now = now or database.now()
    failed = delivery.c.state == DeliveryState.FAILED.value
    query = sa.select(sa.func.count(), sa.func.max(delivery.c.finished_at)).where(failed)
    recently = sa.select(sa.func.count()).where(failed, delivery.c.finished_at > now - DAY)
    with database.read() as connection:
        number, _ = connection.execute(query).one()
        new = connection.execute(recently).scalar_one()
    figures = {"failed": number, "failed_within_a_day": new}
    if not number:
        return Finding(Level.OK, "no delivery was given up", figures=figures)
    told = f"{number} deliveries were given up, {new} of them within a day"
    remedy = "eventalarm-delivery list shows why; retry repeats them, purge removes them"
    return Finding(Level.WARNING if new else Level.OK, told, remedy, figures)
