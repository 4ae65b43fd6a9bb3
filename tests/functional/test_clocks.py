"""Wrong and stepped clocks: of a listener's host (G9), of database nodes (G2, G3), and of its time zone."""

from __future__ import annotations

import datetime
import pathlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.delivery.worker import DeliveryWorker
from eventalarm.evaluator.partition_plan import Gate
from eventalarm.evaluator.partition_settling import gate_time
from eventalarm.model import UTC
from eventalarm.publisher.partitions import Partition
from eventalarm.storage import tables
from eventalarm.storage.database import Database
from eventalarm.storage.leases import WorkerLease
from eventalarm.storage.outbox import Outbox
from eventalarm.storage.partition_leases import PartitionLeases
from eventalarm.trial.own_cloud.services.faketime import faked_python
from eventalarm.trial.own_cloud.services.restartable import SteppedMariaDB
from tests.support.builders import rule
from tests.support.cloud import Cloud, Spawn, make_event
from tests.support.deliveries import make_delivery
from tests.support.delivery_worker import enqueue
from tests.support.engine_harness import EngineHarness, alarm_row, insert_alarms, open_database, read_table
from tests.support.helpers import WebhookSink, wait_until
from tests.support.outbox import leases

QUICK = DeliveryOptions(
    retry_after_max=3.0, lease=2.0, poll_interval=0.1, total_timeout=60.0, retry_initial=0.1, retry_max=0.5
)
MANY = 20
HOUR = 3600.0
AHEAD = 60.0
ID = "X-Eventalarm-Delivery-Id"
FOLD = datetime.datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@pytest.fixture
def stepped(our_stepped_url: str) -> Iterator[Database]:
    with open_database(our_stepped_url) as database:
        yield database


def test_a_listener_that_is_30_s_slow_loses_no_recovery(
    spawn: Spawn,
    tmp_path: pathlib.Path,
    our_mariadb_url: str,
    rabbit_url: str,
    figure: Callable[[str], None],
) -> None:
    cloud = Cloud(spawn, tmp_path, our_mariadb_url, rabbit_url)
    names = [f"vm-{n}" for n in range(MANY)]
    alarms = [cloud.create_alarm(instance=name, ok_actions=["log://"]) for name in names]
    right = cloud.start_listener()
    cloud.publish(*(make_event(name) for name in names))
    for alarm in alarms:
        cloud.wait_for_state(alarm, "alarm")
    right.terminate()
    cloud.start_listener(env=faked_python(-30.0, tmp_path))
    cloud.publish(*(make_event(name, "active") for name in names))
    query = "SELECT count(*) AS n FROM eventalarm_transition WHERE kind IN ('cleared', 'late')"
    wait_until(lambda: cloud.rows(query)[0]["n"] == MANY, what="every recovery recorded")
    cleared = sum(cloud.state(alarm) == "ok" for alarm in alarms)
    figure(f"a listener 30 s slow: {cleared} of {MANY} recoveries cleared their alarm")
    assert cleared == MANY
    cloud.close()


# ---- steps of the database's clock


@pytest.fixture
def start(stepped: Database) -> Iterator[Callable[[], DeliveryWorker]]:
    """Start workers that end with the test."""
    started: list[DeliveryWorker] = []

    def begin() -> DeliveryWorker:
        one = DeliveryWorker(Outbox(stepped), HttpSender(QUICK), QUICK, host="test")
        one.start()
        started.append(one)
        wait_until(lambda: one.owner)
        return one

    yield begin
    for one in started:
        one.stop(1.0)


def _renewed(database: Database, times: int) -> None:
    """Wait until every worker has renewed its lease that many times."""
    before = leases(database)

    def enough() -> bool:
        now = leases(database)
        missing = WorkerLease(0, None)
        return bool(now) and all(
            lease.renewals - before.get(name, missing).renewals >= times for name, lease in now.items()
        )

    wait_until(enough)


@pytest.mark.parametrize("seconds", [HOUR, -HOUR], ids=["forwards", "back"])
def test_a_step_of_the_database_clock_duplicates_no_delivery(
    stepped: Database,
    stepped_mariadb: SteppedMariaDB,
    start: Callable[[], DeliveryWorker],
    webhook_sink: WebhookSink,
    figure: Callable[[str], None],
    seconds: float,
) -> None:
    workers = [start() for _ in range(2)]
    releases = [webhook_sink.hang(f"/{n}") for n in range(MANY)]
    items = [make_delivery(webhook_sink.url(f"/{n}"), alarm_id=f"a{n}") for n in range(MANY)]
    for number, worker in enumerate(workers):
        mine, owner = items[number::2], worker.owner
        assert owner is not None
        worker.submit(owner, enqueue(stepped, mine, owner))
    webhook_sink.wait(MANY)
    stepped_mariadb.set_ahead(seconds)
    # Long enough for every worker to be considered dead: a lease, and passes of the others.
    _renewed(stepped, 6)
    for release in releases:
        release()
    state = sa.select(tables.delivery.c.state)

    def all_delivered() -> bool:
        with stepped.read() as connection:
            return set(connection.execute(state).scalars()) == {"delivered"}

    wait_until(all_delivered)
    sent = Counter(request.headers[ID] for request in webhook_sink.requests)
    twice = sum(number > 1 for number in sent.values())
    figure(f"database clock stepped by {seconds:+.0f} s: {twice} of {MANY} deliveries sent twice")
    assert (len(sent), twice) == (MANY, 0)


def test_after_a_clock_step_back_deliveries_of_dead_workers_are_taken_over_within_the_lease(
    stepped: Database,
    stepped_mariadb: SteppedMariaDB,
    start: Callable[[], DeliveryWorker],
    webhook_sink: WebhookSink,
) -> None:
    Outbox(stepped).register("dead", "host", QUICK.lease)
    enqueue(stepped, [make_delivery(webhook_sink.url("/"))], "dead")
    stepped_mariadb.set_ahead(-HOUR)
    start()
    webhook_sink.wait(1, timeout=10.0)


def test_a_clock_step_back_does_not_postpone_a_retry(
    stepped: Database,
    stepped_mariadb: SteppedMariaDB,
    start: Callable[[], DeliveryWorker],
    webhook_sink: WebhookSink,
    figure: Callable[[str], None],
) -> None:
    """Before the fix the retry was an hour away."""
    stepped_mariadb.set_ahead(HOUR)
    webhook_sink.behave("/", statuses=[503, 200], headers={"Retry-After": "3"})
    worker = start()
    owner = worker.owner
    assert owner is not None
    worker.submit(owner, enqueue(stepped, [make_delivery(webhook_sink.url("/"))], owner))
    waits = sa.select(tables.delivery.c.seq).where(
        tables.delivery.c.state == "pending", tables.delivery.c.attempts == 1
    )

    def put_off() -> bool:
        with stepped.read() as connection:
            return bool(connection.execute(waits).first())

    wait_until(put_off)
    stepped_mariadb.set_ahead(0.0)
    at = time.monotonic()
    webhook_sink.wait(2, "/", timeout=20.0)
    figure(f"database clock stepped back by an hour: the retry came {time.monotonic() - at:.1f} s later")


@pytest.mark.parametrize("seconds", [HOUR, -HOUR], ids=["forwards", "back"])
def test_a_step_of_the_database_clock_hides_no_new_alarm(
    stepped: Database, stepped_mariadb: SteppedMariaDB, seconds: float
) -> None:
    """The time of an alarm comes from the API's host, whose clock is not stepped (G3)."""
    harness = EngineHarness(stepped)
    insert_alarms(stepped, alarm_row("first", rule=rule("*", state="error")))
    event: dict[str, Any] = {"project": "project-a"}
    harness.process(make_event("vm-0", **event))
    assert len(harness.sent) == 1
    stepped_mariadb.set_ahead(seconds)
    harness.process(make_event("vm-0", "active", **event))
    for name in ("second", "third"):
        insert_alarms(stepped, alarm_row(name, rule=rule("*", state=name)))
        harness.process(make_event("vm-0", name, **event))
        assert harness.sent[-1].alarm_id == name


@pytest.mark.parametrize(
    ("ahead", "again"), [(-HOUR, False), (-AHEAD, True)], ids=["set back", "another node is behind"]
)
def test_a_database_clock_that_is_behind_makes_no_event_late(
    stepped: Database,
    our_stepped_url: str,
    stepped_mariadb: SteppedMariaDB,
    ahead: float,
    again: bool,
) -> None:
    """Events are as new as they say, also for a process that knows only the node whose clock is behind (G1).

    Fails if an event counts as received when the database's clock says so: it is late then, and the alarm
    does not clear.
    """
    insert_alarms(stepped, alarm_row("a", rule=rule("*", state="error"), ok_actions=["http://ok"]))
    harness = EngineHarness(stepped, max_clock_skew=2 * AHEAD)
    harness.process(make_event("vm-0", project="project-a"))
    stepped_mariadb.set_ahead(ahead)
    with open_database(our_stepped_url) as other:
        harness = EngineHarness(other, max_clock_skew=2 * AHEAD) if again else harness
        harness.process(make_event("vm-1", project="project-a"))
        harness.process(make_event("vm-0", "active", project="project-a"))
    kinds = sorted(row["kind"] for row in read_table(stepped, tables.transition))
    assert kinds == ["cleared", "raised", "raised"]


def test_a_database_node_whose_clock_is_ahead_does_not_let_newer_events_pass(
    stepped: Database, stepped_mariadb: SteppedMariaDB
) -> None:
    """One process asks a node whose clock is ahead, the other one a node whose clock is right.

    Fails if the time up to which a topic is evaluated counts as it was read: a message passes the gate
    that arrived after the marker was sent.
    """
    skew, old = datetime.timedelta(seconds=AHEAD), Partition(1, 0).label
    drains, waits = PartitionLeases(stepped, "drains"), PartitionLeases(stepped, "waits")
    drains.register([old])
    assert drains.take(old, drains.look(()).partitions[old])

    def ahead(seconds: float, settled: Sequence[tuple[str, datetime.datetime]] = ()) -> datetime.datetime:
        stepped_mariadb.set_ahead(seconds)
        now = drains.look(settled).now
        stepped_mariadb.set_ahead(0.0)
        return now

    def passes() -> list[str]:
        gate.mark()
        leases = waits.look(())
        idle, until = gate_time(leases, 2, skew)
        return gate.advance(leases.now, until, idle=idle)

    gate = Gate()
    marked_at = ahead(AHEAD)
    gate.admit(["newer"])
    assert passes() == []
    ahead(AHEAD, [(old, marked_at)])
    assert passes() == []
    ahead(AHEAD, [(old, ahead(3 * AHEAD))])
    assert passes() == ["newer"]


@pytest.mark.parametrize("later", [0.0, HOUR], ids=["first", "second"])
def test_the_hour_that_autumn_repeats_is_two_hours(
    stepped: Database, stepped_mariadb: SteppedMariaDB, later: float
) -> None:
    moment = FOLD + datetime.timedelta(seconds=later)
    stepped_mariadb.set_ahead(moment.timestamp() - time.time())
    with stepped.read() as connection:
        local = connection.exec_driver_sql("SELECT @@global.time_zone, @@system_time_zone").one()
    assert abs((stepped.now() - moment).total_seconds()) < 60.0, local
