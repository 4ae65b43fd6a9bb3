"""Operational events on every database: one for each change, written with it, published once."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from eventalarm.exceptions import InvalidRule
from eventalarm.model import Circuit, CircuitState, DeliveryResult, DeliveryState, JSONDict, OperationalType
from eventalarm.operational.reporter import LEASE, LEASE_NAME, OperationalReporter
from eventalarm.storage import operational_events, tables
from eventalarm.storage.circuits import CircuitStore
from eventalarm.storage.database import Database
from eventalarm.storage.leases import LeaderLease
from eventalarm.storage.operational_events import SUBJECTS, OperationalEvents
from eventalarm.storage.outbox import Outbox
from tests.functional.delivery_outbox.test_circuits import DEAD, HALF_OPEN, OPEN
from tests.support.builders import definition
from tests.support.deliveries import make_delivery
from tests.support.outbox import LONG, enqueue, ids


@pytest.fixture
def events(database: Database) -> OperationalEvents:
    return OperationalEvents(database, gathered_for=0.0)


@pytest.fixture
def reporting(database: Database, outbox: Outbox) -> Outbox:
    """An outbox that reports, beside one of the same worker that does not."""
    return Outbox(database, reported=SUBJECTS)


def reporter(database: Database, publish: Callable[[list[JSONDict]], None]) -> OperationalReporter:
    lease = LeaderLease(database, LEASE_NAME, "me", LEASE)
    return OperationalReporter(
        OperationalEvents(database, gathered_for=0.0), lease, publish, database.about_now
    )


def made(events: OperationalEvents) -> list[tuple[str, str, str, int]]:
    events.gather()
    found = [one.event for one in events.ready()]
    return [(one.event_type.value, one.project_id, one.resource_id, one.number) for one in found]


def test_each_change_of_a_circuit_that_matters_is_one_event(
    database: Database, events: OperationalEvents
) -> None:
    """Red if the event is written by the process that noticed, not by the one that stored the change."""
    store = CircuitStore(database, SUBJECTS)
    store.write(OPEN)
    # Another process found it failing too; a failed probe; and another probe.
    store.write(dataclasses.replace(OPEN, failures=21))
    store.write(dataclasses.replace(HALF_OPEN, version=1))
    store.write(dataclasses.replace(OPEN, version=2, probes=1))
    disabled = dataclasses.replace(OPEN, state=CircuitState.DISABLED, next_probe_at=None, version=3)
    store.write(disabled)
    assert store.enable("p", DEAD) is not None
    assert store.enable("p", DEAD) is not None
    store.write(OPEN)
    store.write(Circuit("p", DEAD, version=7))
    types = ("failing", "disabled", "recovered", "failing", "recovered")
    assert made(events) == [(f"eventalarm.destination.{one}", "p", DEAD, 1) for one in types]
    failing, *_, recovered = [one.event for one in events.ready()]
    assert (failing.status, failing.reason, failing.since) == (503, OPEN.error, OPEN.failing_since)
    assert (recovered.since, recovered.status) == (OPEN.failing_since, None)


def test_dead_deliveries_of_an_alarm_and_a_destination_are_one_event(
    database: Database, reporting: Outbox, events: OperationalEvents
) -> None:
    """Red if each is an event, if rows of others count, or if what is about an event of ours counts."""
    items = [
        *(make_delivery(f"{DEAD}/a", alarm_id="a", destination=DEAD) for _ in range(3)),
        make_delivery(f"{DEAD}/b", alarm_id="b", destination=DEAD),
        make_delivery("http://other/", alarm_id="a", destination="http://other:80"),
        make_delivery(f"{DEAD}/s", alarm_id="a", destination=DEAD, subscription_id="s"),
        make_delivery(f"{DEAD}/d", alarm_id="c", destination=DEAD),
        make_delivery(f"{DEAD}/t", alarm_id="d", destination=DEAD),
    ]
    operational, by_timer = ids(items)[-2:]
    items = [dataclasses.replace(one, order_key=one.delivery_id) for one in items]
    enqueue(database, reporting, items, "me")
    about(database, operational, OperationalType.DELIVERY_DEAD.value, "o-1")
    about(database, by_timer, "eventalarm.timer.clear_after", "o-1")
    dead = [DeliveryResult(name, DeliveryState.FAILED, 1, 400, "http_4xx: HTTP 400") for name in ids(items)]
    reporting.record("other", dead)
    assert made(events) == []
    reporting.record("me", dead)
    reporting.record("me", dead)
    kind = OperationalType.DELIVERY_DEAD.value
    assert sorted(made(events)) == [
        (kind, "p", DEAD, 1),
        (kind, "p", DEAD, 3),
        (kind, "p", "http://other:80", 1),
    ]
    (first,) = [one.event for one in events.ready() if one.event.number == 3]
    assert (first.alarm_id, first.status, first.reason) == ("a", 400, "http_4xx: HTTP 400")
    assert first.delivery_id in ids(items[:3])


def about(database: Database, delivery_id: str, event_type: str, occurrence_id: str) -> None:
    this = tables.transition.c.message_id == delivery_id
    values = {"event_type": event_type, "occurrence_id": occurrence_id}
    with database.begin() as connection:
        connection.execute(sa.update(tables.transition).where(this).values(values))


def test_what_is_given_up_with_its_destination_is_gathered_too(
    database: Database, reporting: Outbox, events: OperationalEvents
) -> None:
    items = [make_delivery(f"{DEAD}/a", alarm_id="a", destination=DEAD) for _ in range(3)]
    enqueue(database, reporting, items, "me")
    reporting.hand_back("me", ids(items), deferred=True)
    assert reporting.circuits.give_up(OPEN, "destination_disabled") == 3
    assert made(events) == [(OperationalType.DELIVERY_DEAD.value, "p", DEAD, 3)]


def test_a_delivery_that_dies_again_is_reported_again(
    database: Database, reporting: Outbox, events: OperationalEvents
) -> None:
    (item,) = [make_delivery(f"{DEAD}/a", alarm_id="a", destination=DEAD)]
    enqueue(database, reporting, [item], "me")
    bodies: list[JSONDict] = []
    for _ in range(2):
        reporting.record("me", [DeliveryResult(item.delivery_id, DeliveryState.FAILED, 1)])
        reporter(database, bodies.extend).run_once()
        lease_again(database, item.delivery_id)
    assert len({one["message_id"] for one in bodies}) == 2


def lease_again(database: Database, delivery_id: str) -> None:
    this = tables.delivery.c.delivery_id == delivery_id
    with database.begin() as connection:
        connection.execute(sa.update(tables.delivery).where(this).values(state="leased", owner="me"))


def test_a_lost_listener_is_reported_once_and_one_that_stopped_never(
    database: Database, reporting: Outbox, events: OperationalEvents
) -> None:
    """Red if the row is removed without an event, or each of the others writes one."""
    for name in ("lost", "stopped", "renewed"):
        reporting.register(name, f"host-of-{name}", LONG)
    reporting.release("stopped")
    reporting.renew("renewed", LONG)
    ended = {"lost": 0, "stopped": 0, "renewed": 0}
    other = Outbox(database, reported=SUBJECTS)
    for one in (reporting, other):
        one.claim("me", 1, ended=ended)
    assert made(events) == [(OperationalType.LISTENER_LOST.value, "", "host-of-lost", 1)]


def test_an_event_that_was_not_confirmed_is_published_again_as_it_was(
    database: Database, events: OperationalEvents
) -> None:
    """Red if an event is removed before it is confirmed, or changes when others are gathered with it."""

    class Killed(BaseException):
        pass

    sent: list[JSONDict] = []

    def die(bodies: list[JSONDict]) -> None:
        sent.extend(bodies)
        raise Killed

    CircuitStore(database, SUBJECTS).write(OPEN)
    with pytest.raises(Killed):
        reporter(database, die).run_once()
    reporter(database, sent.extend).run_once()
    reporter(database, sent.extend).run_once()
    first, again = sent
    assert first == again
    assert not events.waiting()


def test_an_invalid_rule_is_one_event_whichever_processes_find_it(
    database: Database, events: OperationalEvents
) -> None:
    """Red if a process that is started again reports it again."""
    sent: list[JSONDict] = []
    bad, error = definition("a"), InvalidRule("query", "is not valid", "correct it")
    for _ in range(2):
        one = reporter(database, sent.extend)
        one.invalid_rule(bad, error)
        one.run_once()
    edited = dataclasses.replace(bad, version=bad.version + datetime.timedelta(seconds=1))
    again = reporter(database, sent.extend)
    again.invalid_rule(edited, error)
    again.run_once()
    assert [one["event_type"] for one in sent] == [OperationalType.RULE_INVALID.value] * 2
    assert not events.waiting()


def test_nothing_is_written_unless_it_is_asked_for(
    database: Database, outbox: Outbox, events: OperationalEvents
) -> None:
    (item,) = [make_delivery(f"{DEAD}/a", destination=DEAD)]
    enqueue(database, outbox, [item], "me")
    outbox.record("me", [DeliveryResult(item.delivery_id, DeliveryState.FAILED, 1)])
    outbox.circuits.write(OPEN)
    outbox.register("lost", "host", LONG)
    outbox.claim("me", 1, ended={"lost": 0})
    assert made(events) == []


def test_a_change_whose_event_cannot_be_written_is_not_made(
    database: Database, reporting: Outbox, events: OperationalEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red if the event is written in a transaction of its own."""

    class Killed(BaseException):
        pass

    def die(*args: object) -> None:
        raise Killed

    (item,) = [make_delivery(f"{DEAD}/a", destination=DEAD)]
    enqueue(database, reporting, [item], "me")
    for name in ("add", "add_dead"):
        monkeypatch.setattr(operational_events, name, die)
    with pytest.raises(Killed):
        reporting.circuits.write(OPEN)
    with pytest.raises(Killed):
        reporting.record("me", [DeliveryResult(item.delivery_id, DeliveryState.FAILED, 1)])
    assert reporting.circuits.of_project("p") == {}
    assert reporting.leased_to("me") == {item.delivery_id}
    assert made(events) == []
