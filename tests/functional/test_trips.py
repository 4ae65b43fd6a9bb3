"""The round trips to the database that an engine and a delivery worker make, counted on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.database_url import with_driver
from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.evaluator.commit import Committed
from eventalarm.exceptions import Locked
from eventalarm.model import Delivery, DeliveryResult, DeliveryState
from eventalarm.storage import connections
from eventalarm.storage.database import connect
from eventalarm.storage.leases import SeenLeases
from eventalarm.storage.outbox import Outbox
from eventalarm.storage.session import SessionLimits
from eventalarm.storage.transitions import Transaction
from tests.support.builders import event, rule
from tests.support.deliveries import make_delivery
from tests.support.engine_harness import EngineHarness, alarm_row, insert_alarms
from tests.support.outbox import enqueue
from tests.support.relay import TripCounter

OWNER = "5a0b2f3c-0000-4000-8000-000000000001"


class KeepingWorker:
    """A worker with a lease that keeps what it is given."""

    owner = OWNER

    def __init__(self) -> None:
        self.kept: list[Delivery] = []

    def submit(self, owner: str, deliveries: Sequence[Delivery], waiting: Any = ()) -> None:
        self.kept += deliveries


class FarEngine:
    """An engine whose database is behind a relay that counts trips."""

    def __init__(self, url: str) -> None:
        made = sa.make_url(with_driver(url))
        assert made.port is not None
        self.relay = TripCounter(made.port, postgresql=made.get_backend_name() == "postgresql")
        far = made.set(port=self.relay.port).render_as_string(hide_password=False)
        self.database = connect(far, pipelines=True)
        self.outbox = Outbox(self.database)
        self.outbox.register(OWNER, "here", 60.0)
        self.worker = KeepingWorker()
        enqueuer = OutboxEnqueuer(self.outbox, self.worker)
        self.harness = EngineHarness(self.database, enqueuer=enqueuer, beside_aodh_listener=True)

    def insert(self, alarms: int, **columns: Any) -> None:
        """Create alarms, one for each of the instances ``vm-0`` and so on; *columns* are of their rows."""
        wanted = {"repeat_actions": True, **columns}
        each = ({**rule(instance_id=f"vm-{number}"), **wanted.pop("rule", {})} for number in range(alarms))
        insert_alarms(self.database, *(alarm_row(rule=one, **wanted) for one in each))

    def trips(self, events: int) -> int:
        """Return the trips of one batch of events that fire as many alarms."""
        made = [event(instance_id=f"vm-{number}") for number in range(events)]
        with self.relay.counting() as found:
            report = self.harness.process(*made)
        assert len(report.transitions) == events
        return found[0]


@pytest.fixture
def far(our_server_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FarEngine]:
    """An engine with its own database, on each engine that serves a cloud; its connections are not pinged."""
    monkeypatch.setattr(connections, "KEEP", 600.0)
    monkeypatch.setattr(connections, "KEEP_UNASKED", 600.0)
    engine = FarEngine(our_server_url)
    yield engine
    engine.database.dispose()
    engine.relay.close()


@pytest.mark.parametrize(("events", "expected"), [(1, 2), (100, 2), (500, 2), (1000, 4)])
def test_a_batch_takes_two_trips(far: FarEngine, events: int, expected: int) -> None:
    """One to look for edited alarms, lock and read; one to write and commit. Each for up to 500 matches."""
    far.insert(events)
    far.trips(1)
    far.trips(1)
    assert [far.trips(events) for _ in range(3)] == [expected] * 3
    assert len(far.worker.kept) >= events


def test_a_storm_takes_two_trips_for_five_hundred_alarms(far: FarEngine) -> None:
    """A transaction ends after so many, so that other projects do not wait; none but the first looks."""
    far.insert(1)
    far.trips(1)
    insert_alarms(far.database, *(alarm_row(rule=rule("storm")) for _ in range(5000)))
    for _ in range(2):
        far.harness.process(event("calm"))
    with far.relay.counting() as trips:
        report = far.harness.process(event("storm"))
    assert len(report.transitions) == 5000
    assert trips == [2 * 5000 // 500]


@pytest.mark.parametrize("timed", [{"clear_after": 600}, {"hold_down": 600}])
def test_an_alarm_with_timers_takes_two_trips(far: FarEngine, timed: dict[str, Any]) -> None:
    """Fails if its timers are read after the lock has shown that it has some."""
    far.insert(10, type="notification", rule={**timed, "group_by": ["instance_id", "message"]})
    far.trips(1)
    assert [far.trips(10) for _ in range(2)] == [2, 2]


def test_an_alarm_created_just_before_fires_and_costs_a_look(far: FarEngine) -> None:
    """The engine has matched with the definitions that it knew; fails if it settles those matches (G3)."""
    far.insert(1)
    far.trips(1)
    assert far.trips(1) == 2
    far.insert(1)
    report = far.harness.process(event(instance_id="vm-0"))
    assert len(report.transitions) == 2


def test_a_locked_alarm_is_waited_for_once(our_server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if an attempt that looks for edits too is repeated with the alarm that it waited for in vain."""
    database = connect(with_driver(our_server_url), limits=SessionLimits(lock=1.0), pipelines=True)
    harness = EngineHarness(database)
    waits: list[Locked] = []
    commit = harness.engine._committer.commit

    def count_waits(*arguments: Any, **options: Any) -> Committed:
        try:
            return commit(*arguments, **options)
        except Locked as exc:
            waits.append(exc)
            raise

    monkeypatch.setattr(harness.engine._committer, "commit", count_waits)
    alarms = [alarm_row(rule=rule(instance_id=f"vm-{number}"), repeat_actions=True) for number in range(2)]
    insert_alarms(database, *alarms)
    events = [event(instance_id=f"vm-{number}") for number in range(2)]
    for _ in range(2):
        harness.process(event(instance_id="vm-1"))
    with database.begin() as elsewhere:
        Transaction(elsewhere).lock([alarms[0]["alarm_id"]])
        report = harness.process(*events)
    assert [one.message_id for one in report.deferred] == [events[0].message_id]
    assert [one.alarm_id for one in report.transitions] == [alarms[1]["alarm_id"]]
    assert len(waits) == 1
    database.dispose()


def test_results_are_recorded_in_one_trip(far: FarEngine) -> None:
    far.insert(100)
    far.trips(100)
    results = [DeliveryResult(one.delivery_id, DeliveryState.DELIVERED, 1) for one in far.worker.kept]
    far.outbox.record(OWNER, results[:1])
    with far.relay.counting() as trips:
        far.outbox.record(OWNER, results[1:])
    assert trips == [1]
    assert far.outbox.leased_to(OWNER) == set()


def _enqueue(far: FarEngine, number: int, owner: str | None, prefix: str = "p") -> list[str]:
    """Write so many deliveries of as many alarms of three projects; return their order keys."""
    made = [
        make_delivery(alarm_id=f"{prefix}{one}", project_id=f"{prefix}{one % 3}") for one in range(number)
    ]
    enqueue(far.database, far.outbox, made, owner)
    return [one.order_key for one in made]


@pytest.mark.parametrize("number", [1, 100, 500])
def test_a_claim_takes_two_trips(far: FarEngine, number: int) -> None:
    """One to look, also at the clock and the leases; one to lease, read and commit."""
    seen: list[SeenLeases] = []
    far.outbox.claim(OWNER, 500)
    _enqueue(far, number, None)
    with far.relay.counting() as trips:
        found = far.outbox.claim(OWNER, 500, overlooked=True, seen=seen.append)
    assert len(found) == number
    assert list(seen[0].leases) == [OWNER]
    assert trips == [2]


def test_a_claim_that_finds_nothing_takes_one_trip(far: FarEngine) -> None:
    keys = _enqueue(far, 3, OWNER)
    far.outbox.claim(OWNER, 500)
    attempts: list[Callable[[], list[Delivery]]] = [
        lambda: far.outbox.claim(OWNER, 500, overlooked=True),
        lambda: far.outbox.claim(OWNER, 500, ended={"dead": 1}),
        lambda: far.outbox.claim_next(OWNER, keys),
        lambda: far.outbox.claim_behind(OWNER, keys, 10),
    ]
    for claim in attempts:
        with far.relay.counting() as trips:
            assert claim() == []
        assert trips == [1]


def test_successors_take_two_trips(far: FarEngine) -> None:
    """Those of finished deliveries, and those that join the batch of a held one."""
    far.outbox.claim(OWNER, 500)
    keys = _enqueue(far, 100, None)
    held = _enqueue(far, 100, OWNER, "held")
    _enqueue(far, 100, OWNER, "held")
    attempts: list[Callable[[], list[Delivery]]] = [
        lambda: far.outbox.claim_next(OWNER, keys),
        lambda: far.outbox.claim_behind(OWNER, held, 100),
    ]
    for claim in attempts:
        with far.relay.counting() as trips:
            assert len(claim()) == 100
        assert trips == [2]


def test_a_claim_of_many_projects_takes_more_trips_once(far: FarEngine) -> None:
    """While it does not know yet that they are so many."""
    for number in range(10):
        _enqueue(far, 3, None, f"project-{number}-")
    trips = []
    for _ in range(3):
        with far.relay.counting() as found:
            assert len(far.outbox.claim(OWNER, 10)) == 10
        trips += found
    assert trips[1:] == [2, 2]


def test_a_takeover_takes_two_trips(far: FarEngine) -> None:
    """One to remove the worker and find what it held; fails if all owners are asked for first."""
    far.outbox.claim(OWNER, 500)
    far.outbox.register("dead", "there", 60.0)
    _enqueue(far, 10, "dead")
    with far.relay.counting() as trips:
        assert len(far.outbox.claim(OWNER, 500, ended={"dead": 0})) == 10
    assert trips == [2]


def test_an_unknown_owner_costs_a_trip_once(far: FarEngine) -> None:
    """Another worker was started: it is asked again if others than the registered ones hold deliveries."""
    far.outbox.claim(OWNER, 500)
    far.outbox.register("another", "there", 60.0)
    _enqueue(far, 10, "another")
    counted = []
    for _ in range(2):
        with far.relay.counting() as trips:
            assert far.outbox.claim(OWNER, 500) == []
        counted += trips
    assert counted == [2, 1]
