"""The canary: one synthetic event through the real topic to a webhook of our own, with its time.

Its alarm is a row in Aodh's table, in a project of its own, with an id that Aodh never makes. It is removed
again whatever happens, with all that followed from it; what a killed canary left, the next one removes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.exceptions import PublishError
from eventalarm.model import UTC, DeliveryState, JSONDict
from eventalarm.standalone.consumer import Consumer
from eventalarm.status.outcome import Finding, Level
from eventalarm.storage.database import Database
from eventalarm.storage.tables import alarm, alarm_history, delivery, occurrence, transition
from eventalarm.trace import CANARY

# One project for all canaries: listeners cache alarms by project.
PROJECT: Final = uuid.uuid5(uuid.NAMESPACE_DNS, CANARY).hex
PREFIX: Final = "eventalarm-canary-"
LEFT_AFTER: Final = datetime.timedelta(minutes=10)

Publish = Callable[[JSONDict], None]


@dataclasses.dataclass(frozen=True, slots=True)
class CanaryOptions:
    """``host`` and ``port`` (0: any) of the webhook as listeners reach it, ``timeout`` in seconds.

    ``owner_trait`` and ``resource_trait`` are the first of the configured ones.
    """

    host: str
    port: int
    timeout: float
    owner_trait: str
    resource_trait: str


def new_id() -> str:
    """Return the id of an alarm for one canary."""
    return f"{PREFIX}{uuid.uuid4()}"


def fly(database: Database, publish: Publish, options: CanaryOptions, alarm_id: str) -> Finding:
    """Send the canary with an alarm of the id *alarm_id* and wait for its webhook."""
    remove_left_behind(database)
    try:
        consumer = Consumer(host=options.host, port=options.port)
    except OSError as exc:
        return Finding(
            Level.FAILED,
            f"cannot listen on {options.host}: {exc}",
            "name an address of this host that the listeners reach: --canary-address",
        )
    with contextlib.closing(consumer), _alarm(database, alarm_id, consumer.url):
        started = time.monotonic()
        try:
            publish(event(alarm_id, options, datetime.datetime.now(UTC)))
        except PublishError as exc:
            return Finding(Level.FAILED, f"the broker did not take it: {exc}", "see the broker's check")
        if _arrived(consumer, options.timeout):
            took = (time.monotonic() - started) * 1000
            return Finding(
                Level.OK, f"event to webhook in {took:.0f} ms", figures={"milliseconds": round(took, 1)}
            )
        return _where_it_stopped(database, alarm_id, options)


def _arrived(consumer: Consumer, timeout: float) -> bool:
    try:
        return bool(consumer.wait(1, timeout))
    except TimeoutError:
        return False


def event(alarm_id: str, options: CanaryOptions, now: datetime.datetime) -> JSONDict:
    """Return the event that concerns the alarm, as Ceilometer would publish it."""
    traits = {options.owner_trait: PROJECT, options.resource_trait: alarm_id, "canary": alarm_id}
    return {
        "message_id": str(uuid.uuid4()),
        "event_type": CANARY,
        "generated": now.replace(tzinfo=None).isoformat(),
        "traits": [[name, 1, value] for name, value in traits.items()],
        "raw": {},
    }


@contextlib.contextmanager
def _alarm(database: Database, alarm_id: str, url: str) -> Iterator[None]:
    """Create the alarm, and remove it with all that followed."""
    try:
        _insert(database, alarm_id, url)
        yield
    finally:
        remove(database, alarm_id)


def _insert(database: Database, alarm_id: str, url: str) -> None:
    now = database.now().replace(tzinfo=None)
    condition = {"field": "traits.canary", "op": "eq", "type": "string", "value": alarm_id}
    values = {
        "alarm_id": alarm_id,
        "enabled": True,
        "name": alarm_id,
        "description": "eventalarm-status check --canary; removed when it ends",
        "type": "event",
        "severity": "low",
        "timestamp": now,
        "user_id": PROJECT,
        "project_id": PROJECT,
        "state": "insufficient data",
        "state_reason": "",
        "state_timestamp": now,
        "evaluate_timestamp": now,
        "ok_actions": "[]",
        "alarm_actions": json.dumps([url]),
        "insufficient_data_actions": "[]",
        "repeat_actions": False,
        "rule": json.dumps({"event_type": CANARY, "query": [condition]}),
        "time_constraints": "[]",
    }
    with database.begin() as connection:
        # As the table really is: Aodh has more columns than we use, and not the same in every release.
        real = sa.Table("alarm", sa.MetaData(), autoload_with=connection)
        known = {name: value for name, value in values.items() if name in real.c}
        connection.execute(sa.insert(real), known)


def remove(database: Database, alarm_id: str) -> None:
    """Remove a canary's alarm and all that followed from it; raises as the database does."""
    with database.begin() as connection:
        # Locked first, as a listener does that is about to fire it: then nothing follows any more.
        row = sa.select(alarm.c.alarm_id).where(alarm.c.alarm_id == alarm_id)
        connection.execute(row.with_for_update()).all()
        for table in (delivery, transition, occurrence, alarm_history, alarm):
            connection.execute(sa.delete(table).where(table.c.alarm_id == alarm_id))


def remove_left_behind(database: Database) -> None:
    """Remove the canaries that ended without removing theirs."""
    old = alarm.c.timestamp < database.now() - LEFT_AFTER
    ours = sa.and_(alarm.c.alarm_id.startswith(PREFIX, autoescape=True), alarm.c.project_id == PROJECT)
    with database.read() as connection:
        left = list(connection.execute(sa.select(alarm.c.alarm_id).where(ours, old)).scalars())
    for alarm_id in left:
        remove(database, alarm_id)


def _where_it_stopped(database: Database, alarm_id: str, options: CanaryOptions) -> Finding:
    with database.read() as connection:
        query = sa.select(delivery).where(delivery.c.alarm_id == alarm_id)
        sent = connection.execute(query).mappings().first()
    return judge(None if sent is None else dict(sent), options)


def judge(sent: Mapping[str, Any] | None, options: CanaryOptions) -> Finding:
    """Say how far the canary came: *sent* is its row in the outbox."""
    late = f"no webhook within {options.timeout:g} s"
    if sent is None:
        return Finding(
            Level.FAILED,
            f"{late}: no listener took the event and fired",
            "see the checks of queue and listeners; a long queue is worked off first",
        )
    if sent["state"] == DeliveryState.DELIVERED.value:
        return Finding(
            Level.FAILED,
            f"{late}, though a listener delivered it: {options.host} is another host for that listener",
            "name an address of this host that the listeners reach: --canary-address",
        )
    why = f"{sent['error']} after {sent['attempts']} attempts" if sent["error"] else "not tried yet"
    return Finding(
        Level.FAILED,
        f"{late}: a listener fired, but the webhook at {options.host} was not reached ({why})",
        "name an address of this host that the listeners reach: --canary-address",
    )
