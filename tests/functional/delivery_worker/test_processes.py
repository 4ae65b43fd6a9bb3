"""Worker processes that are killed, suspended, or ended by a delivery (G1, G2)."""

from __future__ import annotations

import os
import signal
import time

from eventalarm.storage import database as storage
from tests.functional.conftest import Spawn
from tests.support.deliveries import make_delivery
from tests.support.delivery_worker import (
    POISON,
    WORKER_COMMAND,
    StartProcess,
    StartWorker,
    all_are,
    enqueue,
    received,
    rows,
    states,
    workers,
)
from tests.support.helpers import Process, WebhookSink, wait_until


def test_deliveries_of_a_killed_process_are_taken_over_within_its_lease(
    database: storage.Database, start: StartWorker, worker_process: StartProcess, webhook_sink: WebhookSink
) -> None:
    release = webhook_sink.hang("/held")
    process, name = worker_process(lease=2.0)
    items = [make_delivery(webhook_sink.url("/held"), alarm_id="a") for _ in range(2)]
    items.append(make_delivery(webhook_sink.url("/other")))
    enqueue(database, items[:2], None)
    webhook_sink.wait(1, "/held")
    enqueue(database, items[2:], name)  # committed but not submitted: killed in between
    process.kill()
    killed = time.monotonic()
    release()
    start(lease=2.0)
    wait_until(lambda: all_are(database, "delivered"))
    # The lease, one pass of the poller, and an allowance for a busy machine.
    assert time.monotonic() - killed < 2.0 + 3.0
    # The delivery in progress at the kill is repeated with the same id; the others are not.
    assert received(webhook_sink).count(items[0].delivery_id) == 2
    assert received(webhook_sink).count(items[1].delivery_id) == 1
    assert received(webhook_sink).count(items[2].delivery_id) == 1


def suspend_between_writes(process: Process, database: storage.Database) -> None:
    """Suspend a process, not while it holds the only lock of SQLite: then no other could take over."""
    process.suspend()
    while not database.takes_writes():
        os.kill(process.pid, signal.SIGCONT)
        process.suspend()


def test_a_suspended_process_does_not_send_deliveries_taken_over_by_others(
    database: storage.Database, start: StartWorker, worker_process: StartProcess, webhook_sink: WebhookSink
) -> None:
    release = webhook_sink.hang("/")
    process, name = worker_process(concurrency_per_destination=1)
    items = [make_delivery(webhook_sink.url("/")) for _ in range(6)]
    enqueue(database, items, None)
    webhook_sink.wait(1)
    wait_until(lambda: set(states(database).values()) == {"leased"})
    # Its event loop must not receive the answer before it stops.
    suspend_between_writes(process, database)
    release()
    other = start()
    wait_until(lambda: all_are(database, "delivered"))
    other.stop(1.0)
    os.kill(process.pid, signal.SIGCONT)
    # It comes back under another id and works again; by then it could have sent the old ones.
    wait_until(lambda: workers(database) - {name})
    enqueue(database, [make_delivery(webhook_sink.url("/after"))], None)
    webhook_sink.wait(1, "/after")
    process.terminate()
    counts = sorted(received(webhook_sink).count(item.delivery_id) for item in items)
    assert counts == [1, 1, 1, 1, 1, 2]


def test_a_delivery_that_ends_its_process_is_given_up_alone(
    database: storage.Database, spawn: Spawn, our_sqlite_url: str, webhook_sink: WebhookSink
) -> None:
    items = [make_delivery(webhook_sink.url(f"/{n}"), project_id=f"p{n % 3}") for n in range(30)]
    items.insert(7, make_delivery(webhook_sink.url(POISON)))
    enqueue(database, items, None)
    command = [*WORKER_COMMAND, our_sqlite_url, "{}"]
    ended = 0
    process = spawn(command, env={"PYTHONPATH": os.getcwd()})

    def settled() -> bool:
        nonlocal ended, process
        if process.popen.poll() is not None:
            ended += 1
            process = spawn(command, env={"PYTHONPATH": os.getcwd()})
        return set(states(database).values()) == {"delivered", "failed"}

    wait_until(settled, 60.0)
    assert ended == 3
    (failed,) = [row for row in rows(database, "action", "state", "attempts", "error") if row[1] == "failed"]
    assert (failed[0].endswith(POISON), failed[2], failed[3][:5]) == (True, 2, "lost:")
    assert len(set(received(webhook_sink))) == 30
