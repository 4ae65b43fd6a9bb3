"""Delivery workers on a real outbox: builders, and what the outbox says.

When run as a program, this file is a worker process, for the tests that kill or stop one.
"""

from __future__ import annotations

import datetime
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.base import Sender
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.delivery.worker import DeliveryWorker, Round
from eventalarm.exceptions import Retryable
from eventalarm.model import Delivery
from eventalarm.storage import database as storage
from eventalarm.storage import tables
from eventalarm.storage.outbox import Outbox
from tests.support.helpers import Process, WebhookSink

LEASE = 1.0
NEVER = 1000.0
ID = "X-Eventalarm-Delivery-Id"
POISON = "/poison"
StartWorker = Callable[..., DeliveryWorker]
StartProcess = Callable[..., tuple[Process, str]]
WORKER_COMMAND = [sys.executable, "-m", "tests.support.delivery_worker"]


def options(**fields: Any) -> DeliveryOptions:
    quick = {
        "lease": LEASE,
        "poll_interval": 0.05,
        "retry_initial": 0.02,
        "retry_max": 0.05,
        "circuit_probe_initial": 0.02,
        "circuit_probe_max": 0.05,
        "total_timeout": 20.0,
    }
    return DeliveryOptions(**{**quick, **fields})


def make_worker(
    outbox: Outbox,
    sender: Sender | None = None,
    rounds: Sequence[Round] = (),
    now: Callable[[], datetime.datetime] | None = None,
    **fields: Any,
) -> DeliveryWorker:
    settings = options(**fields)
    sender = sender or HttpSender(settings)
    return DeliveryWorker(outbox, sender, settings, host="test", rounds=rounds, now=now)


def enqueue(database: storage.Database, items: Sequence[Delivery], owner: str | None) -> list[Delivery]:
    with database.begin() as connection:
        rows = [transition_row(item) for item in items]
        connection.execute(sa.insert(tables.transition), rows)
        return Outbox(database).enqueue(connection, items, [row["transition_id"] for row in rows], owner)


def transition_row(item: Delivery) -> dict[str, Any]:
    notification, now = item.notification, item.created_at
    same = {
        "previous": notification.previous,
        "current": notification.current,
        "reason": notification.reason,
        "severity": notification.severity,
    }
    data = notification.reason_data
    occurrence = data.get("occurrence", {})
    return {
        **same,
        "transition_id": item.delivery_id,
        "message_id": item.delivery_id,
        "kind": occurrence.get("transition", "raised"),
        "occurrence_id": "o",
        "alarm_id": item.alarm_id,
        "project_id": "p",
        "managed_object": occurrence.get("managed_object", "vm"),
        "raised_count": occurrence.get("raised"),
        "alarm_name": notification.alarm_name,
        "event_type": "e",
        "event_time": now,
        "recorded_at": now,
        "event": json.dumps(data["event"]),
    }


def send(worker: DeliveryWorker, database: storage.Database, items: Sequence[Delivery]) -> float:
    """Do what the evaluator does: enqueue in a transaction, submit after the commit.

    Return when it was committed, on the monotonic clock.
    """
    owner = worker.owner
    leased = enqueue(database, items, owner)
    committed = time.monotonic()
    keys = {item.order_key for item in items} - {item.order_key for item in leased}
    if owner is not None:
        worker.submit(owner, leased, keys)
    return committed


def states(database: storage.Database) -> dict[str, str]:
    query = sa.select(tables.delivery.c.delivery_id, tables.delivery.c.state)
    with database.read() as connection:
        return dict(connection.execute(query).all())


def all_are(database: storage.Database, state: str) -> bool:
    found = states(database)
    return bool(found) and set(found.values()) == {state}


def workers(database: storage.Database) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(sa.select(tables.worker.c.worker_id)).scalars())


def received(sink: WebhookSink) -> list[str]:
    return [request.headers[ID] for request in list(sink.requests)]


def rows(database: storage.Database, *columns: str) -> Sequence[Any]:
    query = sa.select(*(tables.delivery.c[name] for name in columns)).order_by(tables.delivery.c.seq)
    with database.read() as connection:
        return connection.execute(query).all()


CALLS = {"register", "renew", "release", "claim", "claim_next", "hand_back", "record", "leased_to"}


class Shaky(Outbox):
    """A real outbox behind a database that is down while ``up`` is not set."""

    def __init__(self, database: storage.Database) -> None:
        super().__init__(database)
        self.up = threading.Event()
        self.up.set()
        self.refused = 0
        self.claims = 0

    def __getattribute__(self, name: str) -> Any:
        if name in CALLS and not self.up.is_set():
            self.refused += 1
            return _refuse
        if name == "claim":
            self.claims += 1
        return super().__getattribute__(name)


def _refuse(*args: object, **kwargs: object) -> None:
    raise Retryable("the database is down")


class Poisonous(HttpSender):
    """Sends, except to one path, which ends the process as a crash of the interpreter would."""

    async def send(self, delivery: Delivery) -> int:
        if delivery.action.endswith(POISON):
            os._exit(1)
        return await super().send(delivery)


def main() -> None:
    url, fields = sys.argv[1:]
    settings = options(**eval(fields))
    outbox = Outbox(storage.connect(url))
    worker = DeliveryWorker(outbox, Poisonous(settings), settings, host="test")
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *args: ending.set())
    worker.start()
    ending.wait()
    worker.stop(1.0)


if __name__ == "__main__":
    main()
