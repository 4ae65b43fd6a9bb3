"""The delivery worker on a real outbox and real sockets (G1, G2, G7, G10).

When run as a program, this file is a worker process, for the tests that kill or stop one.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time

import pytest
import sqlalchemy as sa

from eventalarm.delivery.names import Names
from eventalarm.delivery.options import DeliveryOptions, NameOptions, TlsOptions
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.delivery.worker import DeliveryWorker
from eventalarm.exceptions import InvalidOption, Retryable
from eventalarm.metrics import Metrics
from eventalarm.model import DeliveryResult, DeliveryState
from eventalarm.service import with_driver
from eventalarm.storage import database as storage
from eventalarm.storage import tables
from eventalarm.storage.outbox import Outbox
from eventalarm.storage.tables import metadata
from tests.support.deliveries import make_delivery
from tests.support.helpers import wait_until

LEASE = 1.0
NEVER = 1000.0
ID = "X-Eventalarm-Delivery-Id"


POISON = "/poison"


class Poisonous(HttpSender):
    """Sends, except to one path, which ends the process as a crash of the interpreter would."""

    async def send(self, delivery):
        if delivery.action.endswith(POISON):
            os._exit(1)
        return await super().send(delivery)


def options(**fields):
    quick = {
        "lease": LEASE,
        "poll_interval": 0.05,
        "retry_initial": 0.02,
        "retry_max": 0.05,
        "total_timeout": 20.0,
    }
    return DeliveryOptions(**{**quick, **fields})


def make_worker(outbox, **fields):
    settings = options(**fields)
    return DeliveryWorker(outbox, HttpSender(settings), settings, host="test")


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'outbox.sqlite'}"


@pytest.fixture
def database(url):
    database = storage.connect(url)
    metadata.create_all(database.engine)
    yield database
    database.dispose()


@pytest.fixture
def start(database):
    """Start workers that end with the test."""
    started = []

    def begin(outbox=None, **fields):
        started.append(make_worker(outbox or Outbox(database), **fields))
        started[-1].start()
        wait_until(lambda: started[-1].owner)
        return started[-1]

    yield begin
    for worker in started:
        worker.stop(1.0)


def enqueue(database, items, owner):
    with database.begin() as connection:
        rows = [_transition(item) for item in items]
        connection.execute(sa.insert(tables.transition), rows)
        return Outbox(database).enqueue(connection, items, [row["transition_id"] for row in rows], owner)


def _transition(item):
    notification, now = item.notification, item.created_at
    same = {
        "previous": notification.previous,
        "current": notification.current,
        "reason": notification.reason,
        "severity": notification.severity,
    }
    return {
        **same,
        "transition_id": item.delivery_id,
        "message_id": item.delivery_id,
        "kind": "raised",
        "occurrence_id": "o",
        "alarm_id": item.alarm_id,
        "project_id": "p",
        "managed_object": "vm",
        "alarm_name": notification.alarm_name,
        "event_type": "e",
        "event_time": now,
        "recorded_at": now,
        "event": "{}",
    }


def send(worker, database, items):
    """Do what the evaluator does: enqueue in a transaction, submit after the commit."""
    owner = worker.owner
    leased = enqueue(database, items, owner)
    keys = {item.order_key for item in items} - {item.order_key for item in leased}
    if owner is not None:
        worker.submit(owner, leased, keys)


def states(database):
    query = sa.select(tables.delivery.c.delivery_id, tables.delivery.c.state)
    with database.read() as connection:
        return dict(connection.execute(query).all())


def all_are(database, state):
    found = states(database)
    return bool(found) and set(found.values()) == {state}


def workers(database):
    with database.read() as connection:
        return set(connection.execute(sa.select(tables.worker.c.worker_id)).scalars())


def received(sink):
    return [request.headers[ID] for request in list(sink.requests)]


# ---- the usual


def test_a_submitted_delivery_is_sent_at_once_and_recorded(database, start, webhook_sink):
    worker = start(poll_interval=NEVER)
    items = [make_delivery(webhook_sink.url(f"/{n}")) for n in range(20)]
    before = time.monotonic()
    send(worker, database, items)
    requests = webhook_sink.wait(20)
    assert requests[0].tick - before < 1.0
    wait_until(lambda: all_are(database, "delivered"))
    assert sorted(received(webhook_sink)) == sorted(item.delivery_id for item in items)


def test_pending_deliveries_of_other_workers_are_found(database, start, webhook_sink):
    enqueue(database, [make_delivery(webhook_sink.url("/"))], None)
    start()
    webhook_sink.wait(1)
    wait_until(lambda: all_are(database, "delivered"))


def test_a_failed_delivery_is_retried_with_the_same_id_and_then_given_up(
    database, start, webhook_sink, caplog
):
    webhook_sink.behave("/", statuses=[500])
    worker = start(max_attempts=3)
    item = make_delivery(webhook_sink.url("/"))
    send(worker, database, [item])
    wait_until(lambda: all_are(database, "failed"))
    assert received(webhook_sink) == [item.delivery_id] * 3
    with database.read() as connection:
        row = connection.execute(sa.select(tables.delivery)).one()
    assert (row.attempts, row.status, row.error) == (3, 500, "http_5xx: HTTP 500")
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert f"retry {item.delivery_id}" in line


def test_attempts_are_counted_by_result(database, webhook_sink):
    webhook_sink.behave("/", statuses=[503, 200])
    settings, metrics = options(), Metrics()
    worker = DeliveryWorker(Outbox(database), HttpSender(settings), settings, metrics=metrics)
    worker.start()
    wait_until(lambda: worker.owner)
    send(worker, database, [make_delivery(webhook_sink.url("/")), make_delivery("http://")])
    wait_until(lambda: set(states(database).values()) == {"delivered", "failed"})
    worker.stop(1.0)

    def count(result):
        return metrics.registry.get_sample_value("eventalarm_deliveries_total", {"result": result})

    assert (count("http_5xx"), count("delivered"), count("given_up")) == (1, 1, 1)


def test_invalid_options_are_an_error_at_start(database):
    with pytest.raises(InvalidOption, match="rest_notifier_certificate_file"):
        make_worker(Outbox(database), tls=TlsOptions(certificate="/none.pem"))


# ---- order (G7)


def test_the_deliveries_of_one_alarm_and_action_keep_their_order(database, start, webhook_sink):
    statuses = [503, 200, 500, 503, 200, 200, 500, 200, 200, 200, 200]
    webhook_sink.behave("/a", statuses=statuses)
    first, second = start(), start()
    items = [make_delivery(webhook_sink.url("/a"), alarm_id="a") for _ in range(7)]
    send(first, database, items[:3])
    send(second, database, items[3:4])
    send(first, database, items[4:])
    wait_until(lambda: all_are(database, "delivered"))
    ids = [item.delivery_id for item in items]
    expected = [0, 0, 1, 1, 1, 2, 3, 3, 4, 5, 6]
    assert received(webhook_sink) == [ids[n] for n in expected]


def test_a_successor_does_not_wait_for_the_poller(database, start, webhook_sink):
    worker = start(poll_interval=NEVER)
    send(worker, database, [make_delivery(webhook_sink.url("/"), alarm_id="a") for _ in range(4)])
    wait_until(lambda: all_are(database, "delivered"))


def test_a_delivery_committed_behind_one_that_just_ended_is_not_overlooked(
    postgresql_url, webhook_sink, request
):
    database = storage.connect(with_driver(postgresql_url))
    metadata.create_all(database.engine)
    request.addfinalizer(database.dispose)
    worker = make_worker(Outbox(database), poll_interval=NEVER, lease=60.0)
    request.addfinalizer(lambda: worker.stop(1.0))
    worker.start()
    owner = wait_until(lambda: worker.owner)
    release = webhook_sink.hang("/")
    first, second = (make_delivery(webhook_sink.url("/"), alarm_id="a") for _ in range(2))
    send(worker, database, [first])
    webhook_sink.wait(1)
    with database.begin() as connection:
        row = _transition(second)
        connection.execute(sa.insert(tables.transition), row)
        assert Outbox(database).enqueue(connection, [second], [row["transition_id"]], owner) == []
        release()
        wait_until(lambda: states(database)[first.delivery_id] == "delivered")
        time.sleep(0.1)  # the worker now looks for successors and cannot see this one
    worker.submit(owner, [], {second.order_key})
    wait_until(lambda: all_are(database, "delivered"))


# ---- isolation (G7) and bounds (G10)


def test_hung_destinations_do_not_delay_a_healthy_one(database, start, webhook_sink):
    with contextlib.ExitStack() as stack:
        hung = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(20)]
        worker = start(total_timeout=60.0, lease=10.0)
        items = [make_delivery(f"http://127.0.0.1:{s.getsockname()[1]}/") for s in hung for _ in range(60)]
        send(worker, database, items)
        wait_until(lambda: len(worker._calls) > 100)
        waits = []
        for number in range(1, 11):
            before = time.monotonic()
            send(worker, database, [make_delivery(webhook_sink.url("/"))])
            waits.append(webhook_sink.wait(number)[-1].tick - before)
        assert max(waits) < 1.0, waits
        worker.stop(0.0)


def test_memory_is_bounded_and_the_excess_is_sent_later(database, start, webhook_sink):
    release = webhook_sink.hang("/slow")
    worker = start(max_in_memory=8, concurrency_per_destination=2)
    slow = [make_delivery(webhook_sink.url("/slow")) for _ in range(40)]
    send(worker, database, slow)
    wait_until(lambda: list(states(database).values()).count("pending") >= 32)
    # There is room for another destination, in memory and when polling.
    other = webhook_sink.url("/other", host="localhost")
    enqueue(database, [make_delivery(other)], None)
    webhook_sink.wait(1, "/other")
    assert len(webhook_sink.at("/slow")) == 2
    release()
    wait_until(lambda: all_are(database, "delivered"))
    assert len(received(webhook_sink)) == 41
    assert len(set(received(webhook_sink))) == 41


def test_a_backlog_of_one_destination_hides_no_other_in_the_database(database, start, webhook_sink):
    release = webhook_sink.hang("/slow")
    outbox = Shaky(database)
    enqueue(database, [make_delivery(webhook_sink.url("/slow")) for _ in range(400)], None)
    enqueue(database, [make_delivery(webhook_sink.url("/other", host="localhost"))], None)
    start(outbox, max_in_memory=8, concurrency_per_destination=2)
    webhook_sink.wait(1, "/other")
    # Four fit into each pass over the database: without a way around the backlog it takes a hundred passes.
    assert outbox.claims < 40
    release()


# ---- leases (G1, G2)


def test_a_committed_delivery_that_was_not_submitted_is_found(database, start, webhook_sink):
    worker = start(lease=0.5)
    enqueue(database, [make_delivery(webhook_sink.url("/"))], worker.owner)
    webhook_sink.wait(1)
    wait_until(lambda: all_are(database, "delivered"))
    assert len(webhook_sink.requests) == 1


def test_a_successor_whose_predecessor_ended_elsewhere_is_found(database, start, webhook_sink):
    start(lease=0.5)
    other = Outbox(database)
    other.register("other", "host-b", NEVER)
    items = [make_delivery(webhook_sink.url("/"), alarm_id="a") for _ in range(2)]
    enqueue(database, items, "other")
    other.record("other", [DeliveryResult(items[0].delivery_id, DeliveryState.DELIVERED, 1, 200)])
    # "other" is alive, but never asks for successors.
    wait_until(lambda: all_are(database, "delivered"))
    assert received(webhook_sink) == [items[1].delivery_id]


def _bury(database):
    """End every lease; return once the worker has reclaimed its delivery under its next id."""
    owner = sa.select(tables.delivery.c.owner)
    with database.begin() as connection:
        before = connection.execute(owner).scalar()
        connection.execute(sa.delete(tables.worker))

    def after():
        with database.read() as connection:
            return connection.execute(owner).scalar()

    wait_until(lambda: after() not in {before, None})


def test_a_delivery_in_progress_when_its_lease_ends_is_not_sent_again(database, start, webhook_sink):
    worker = start()
    release = webhook_sink.hang("/")
    send(worker, database, [make_delivery(webhook_sink.url("/"))])
    webhook_sink.wait(1)
    _bury(database)
    release()
    wait_until(lambda: all_are(database, "delivered"))
    assert len(webhook_sink.requests) == 1


class Overtaken(Outbox):
    """A real outbox; the lease ends while the first results are on their way to it."""

    def __init__(self, database):
        super().__init__(database)
        self.bury = True

    def record(self, worker_id, results, now_known_as=None):
        if self.bury:
            self.bury = False
            _bury(self._database)
        super().record(worker_id, results, now_known_as)


def test_a_delivery_sent_when_its_lease_ends_is_not_sent_again(database, start, webhook_sink):
    worker = start(Overtaken(database))
    send(worker, database, [make_delivery(webhook_sink.url("/"))])
    wait_until(lambda: all_are(database, "delivered"))
    assert len(webhook_sink.requests) == 1


def test_a_delivery_leased_under_an_old_worker_id_is_not_sent(database, start, webhook_sink):
    worker = start(poll_interval=NEVER, lease=60.0)
    outbox = Outbox(database)
    outbox.register("gone", "host", NEVER)
    outbox.register("other", "host", NEVER)
    leased = enqueue(database, [make_delivery(webhook_sink.url("/theirs"))], "gone")
    assert len(outbox.claim("other", 10, ended={"gone": 0})) == 1
    worker.submit("gone", leased)
    send(worker, database, [make_delivery(webhook_sink.url("/ours"))])
    webhook_sink.wait(1, "/ours")
    assert webhook_sink.at("/theirs") == []
    with database.read() as connection:
        query = sa.select(tables.delivery.c.owner).order_by(tables.delivery.c.seq)
        assert connection.execute(query).scalars().first() == "other"


def test_a_clean_stop_finishes_current_deliveries_and_hands_back_the_rest(database, start, webhook_sink):
    webhook_sink.behave("/", delay=0.5)
    worker = start(concurrency_per_destination=2)
    items = [make_delivery(webhook_sink.url("/")) for _ in range(6)]
    send(worker, database, items)
    webhook_sink.wait(2)
    worker.stop(10.0)
    found = list(states(database).values())
    assert (found.count("delivered"), found.count("pending")) == (2, 4)
    assert workers(database) == set()
    assert worker.owner is None
    worker.submit("anybody", items)
    start()
    wait_until(lambda: all_are(database, "delivered"))
    assert sorted(received(webhook_sink)) == sorted(item.delivery_id for item in items)


def test_a_stop_waits_for_hung_deliveries_only_for_its_grace_period(database, start):
    with socket.create_server(("127.0.0.1", 0)) as hung:
        worker = start(total_timeout=60.0)
        send(worker, database, [make_delivery(f"http://127.0.0.1:{hung.getsockname()[1]}/")])
        wait_until(lambda: worker._calls)
        before = time.monotonic()
        worker.stop(0.2)
        assert time.monotonic() - before < 3.0
        assert all_are(database, "pending")


@pytest.fixture
def worker_process(spawn, database, url):
    """Start this file as a worker process; ``(process, its worker id)``."""

    def begin(**fields):
        before = workers(database)
        command = [sys.executable, "-m", "tests.functional.test_delivery_worker", url, repr(fields)]
        process = spawn(command, env={"PYTHONPATH": os.getcwd()})
        (name,) = wait_until(lambda: workers(database) - before)
        return process, name

    return begin


def test_deliveries_of_a_killed_process_are_taken_over_within_its_lease(
    database, start, worker_process, webhook_sink
):
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


def test_a_suspended_process_does_not_send_deliveries_taken_over_by_others(
    database, start, worker_process, webhook_sink
):
    release = webhook_sink.hang("/")
    process, name = worker_process(concurrency_per_destination=1)
    items = [make_delivery(webhook_sink.url("/")) for _ in range(6)]
    enqueue(database, items, None)
    webhook_sink.wait(1)
    wait_until(lambda: set(states(database).values()) == {"leased"})
    os.kill(process.pid, signal.SIGSTOP)
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


CALLS = {"register", "renew", "release", "claim", "claim_next", "hand_back", "record", "leased_to"}


class Shaky(Outbox):
    """A real outbox behind a database that is down while ``up`` is not set."""

    def __init__(self, database):
        super().__init__(database)
        self.up = threading.Event()
        self.up.set()
        self.refused = 0
        self.claims = 0

    def __getattribute__(self, name):
        if name in CALLS and not self.up.is_set():
            self.refused += 1
            return _refuse
        if name == "claim":
            self.claims += 1
        return super().__getattribute__(name)


def _refuse(*args, **kwargs):
    raise Retryable("the database is down")


def test_a_result_is_kept_until_the_database_accepts_it(database, start, webhook_sink):
    outbox = Shaky(database)
    release = webhook_sink.hang("/")
    worker = start(outbox)
    items = [make_delivery(webhook_sink.url("/")) for _ in range(3)]
    send(worker, database, items)
    webhook_sink.wait(3)
    outbox.up.clear()
    release()
    wait_until(lambda: outbox.refused > 3)
    assert set(states(database).values()) == {"leased"}
    outbox.up.set()
    wait_until(lambda: all_are(database, "delivered"))
    assert len(webhook_sink.requests) == 3


def test_without_a_lease_nothing_is_sent_and_nothing_is_lost(database, start, webhook_sink):
    outbox = Shaky(database)
    worker = start(outbox)
    owner = worker.owner
    sent = make_delivery(webhook_sink.url("/sent"))
    release = webhook_sink.hang("/sent")
    send(worker, database, [sent])
    webhook_sink.wait(1)
    outbox.up.clear()
    release()
    wait_until(lambda: worker.owner is None)
    late = make_delivery(webhook_sink.url("/late"))
    worker.submit(owner, enqueue(database, [late], owner))
    refused = outbox.refused
    wait_until(lambda: outbox.refused > refused + 5)
    assert webhook_sink.at("/late") == []
    outbox.up.set()
    wait_until(lambda: all_are(database, "delivered"))
    assert received(webhook_sink) == [sent.delivery_id, late.delivery_id]
    assert worker.owner == owner, "nobody took over meanwhile"


def test_after_an_outage_workers_that_could_not_renew_are_not_considered_dead(database, start, webhook_sink):
    theirs, ours = Shaky(database), Shaky(database)
    release = webhook_sink.hang("/")
    them, us = start(theirs, lease=2.0), start(ours, lease=2.0)
    send(them, database, [make_delivery(webhook_sink.url("/"))])
    webhook_sink.wait(1)
    theirs.up.clear()
    ours.up.clear()
    release()
    wait_until(lambda: them.owner is None)
    ours.up.set()
    # This worker is back and sees the other expired, which comes back a little later with its result.
    wait_until(lambda: us.owner is not None)
    claims = ours.claims
    wait_until(lambda: ours.claims > claims + 8)
    theirs.up.set()
    wait_until(lambda: all_are(database, "delivered"))
    assert len(webhook_sink.requests) == 1


def test_a_worker_starts_while_the_database_is_down(database, webhook_sink):
    outbox = Shaky(database)
    outbox.up.clear()
    worker = make_worker(outbox)
    worker.start()
    wait_until(lambda: outbox.refused > 2)
    assert worker.owner is None
    send(worker, database, [make_delivery(webhook_sink.url("/"))])
    outbox.up.set()
    wait_until(lambda: all_are(database, "delivered"))
    worker.stop(1.0)


def test_a_stop_while_the_database_is_down_ends_anyway(database, start):
    outbox = Shaky(database)
    worker = start(outbox)
    outbox.up.clear()
    worker.stop(0.1)
    assert len(workers(database)) == 1


def rows(database, *columns):
    query = sa.select(*(tables.delivery.c[name] for name in columns)).order_by(tables.delivery.c.seq)
    with database.read() as connection:
        return connection.execute(query).all()


def test_a_delivery_that_ends_its_process_is_given_up_alone(database, spawn, url, webhook_sink):
    items = [make_delivery(webhook_sink.url(f"/{n}"), project_id=f"p{n % 3}") for n in range(30)]
    items.insert(7, make_delivery(webhook_sink.url(POISON)))
    enqueue(database, items, None)
    command = [sys.executable, "-m", "tests.functional.test_delivery_worker", url, "{}"]
    ended = 0
    process = spawn(command, env={"PYTHONPATH": os.getcwd()})

    def settled():
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


# ---- fairness between projects (G7)


def test_a_hung_project_does_not_delay_another(database, start, webhook_sink):
    with contextlib.ExitStack() as stack:
        hung = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(200)]
        worker = start(total_timeout=60.0, lease=10.0, concurrency=40)
        items = [
            make_delivery(f"http://127.0.0.1:{s.getsockname()[1]}/", project_id="greedy")
            for s in hung
            for _ in range(3)
        ]
        send(worker, database, items)
        wait_until(lambda: len(worker._calls) == 15)
        # This destination has no record yet, and all calls of the greedy project hang.
        send(worker, database, [make_delivery(webhook_sink.url("/"), project_id="healthy")])
        webhook_sink.wait(1)
        wait_until(lambda: len(worker._calls) == 15)
        worker.stop(0.0)


def test_dead_names_of_a_project_do_not_delay_the_names_of_another(database, webhook_sink, request):
    ended = threading.Event()
    request.addfinalizer(ended.set)

    def getaddrinfo(host, *args, **hints):
        if host.startswith("dead"):
            ended.wait(60.0)
        return socket.getaddrinfo("localhost", *args, **hints)

    settings = options(lease=10.0, names=NameOptions(timeout=0.2))
    names = Names(settings.names, getaddrinfo=getaddrinfo)
    outbox = Outbox(database)
    worker = DeliveryWorker(outbox, HttpSender(settings, names=names), settings, host="test")
    request.addfinalizer(lambda: worker.stop(0.0))
    worker.start()
    wait_until(lambda: worker.owner)
    dead = [make_delivery(f"http://dead{n}.example/", project_id="greedy") for n in range(150)]
    send(worker, database, dead)
    wait_until(lambda: len(worker._calls) > 100)
    good = [
        make_delivery(webhook_sink.url("/", host=f"h{n}.example"), project_id="healthy") for n in range(20)
    ]
    send(worker, database, good)
    webhook_sink.wait(20)
    wanted = {item.delivery_id for item in good}

    def attempts(ids):
        found = rows(database, "delivery_id", "state", "attempts")
        return [tuple(row[1:]) for row in found if row[0] in ids]

    wait_until(lambda: attempts(wanted) == [("delivered", 1)] * 20)


def main():
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
