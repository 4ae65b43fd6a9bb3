"""Subscriptions whose consumer does not answer are suspended, probed and resumed."""

from __future__ import annotations

import threading

import sqlalchemy as sa

from eventalarm.storage import database as storage
from eventalarm.storage import ifa_tables, tables
from eventalarm.storage.subscriptions import SubscriptionState
from tests.support.helpers import WebhookSink, wait_until
from tests.support.listening import listening
from tests.support.subscribers import (
    ALARM_NOTIFICATION,
    REBUILT_NOTIFICATION,
    World,
    bound,
    fault,
)


def test_27_a_stalled_subscription_is_suspended_and_resumed_with_a_rebuilt_list(small: World) -> None:
    subscription = small.subscribe("/dead")
    small.subscribe("/alive")
    for n in range(3):
        small.api.alarm(bound(f"vm-{n}"))
    small.sink.behave("/dead", statuses=[503])
    small.listener.process(fault("vm-0"))
    small.run_until(lambda: state_of(small, subscription) == "suspended", 20)
    small.received("/alive")
    before = len(small.posts("/dead"))
    small.listener.process(fault("vm-1"))
    small.received("/alive", 2)
    small.quiet()
    assert len(small.posts("/dead")) == before, "nothing is sent to a suspended subscription"
    small.sink.behave("/dead", statuses=[204])
    small.run_until(lambda: state_of(small, subscription) == "active", 20)
    wait_until(lambda: len(small.posts("/dead")) > before)
    small.listener.process(fault("vm-2"))
    small.received("/alive", 3)
    news = small.received("/dead", before + 2)[before:]
    assert [one["notificationType"] for one in news] == [REBUILT_NOTIFICATION, ALARM_NOTIFICATION]
    assert news[0]["_links"]["alarms"]["href"] == "http://falconframework.org/vnffm/v1/alarms"


def test_a_consumer_that_takes_too_long_is_suspended_too(small: World) -> None:
    subscription = small.subscribe("/slow")
    small.api.alarm(bound("vm-0"))
    release = small.sink.hang("/slow")
    small.listener.process(fault("vm-0"))
    wait_until(lambda: small.posts("/slow"))
    small.run_once()
    assert state_of(small, subscription) == "active"
    # The first attempt ends after 5 s, the last one after 20.
    small.run_until(lambda: state_of(small, subscription) == "suspended", 12)
    release()


def leader(world: World) -> tuple[str | None, int]:
    """Return the leader and the number of renewals of its lease."""
    with world.database.read() as connection:
        row = connection.execute(sa.select(tables.leader_lease.c.owner, tables.leader_lease.c.renewals)).one()
    return row.owner, row.renewals


def test_the_leader_keeps_its_lease_while_it_probes_consumers_that_hang(
    lite_database: storage.Database, webhook_sink: WebhookSink
) -> None:
    """Before the fix consumers were probed one by one, without a renewal of the lease in between."""
    world = World(lite_database, webhook_sink, callback_timeout=60.0)
    paths = ("/a", "/b", "/c")
    with listening(world.api.conf, lite_database) as world.listener:
        subscriptions = [world.subscribe(path) for path in paths]
        world.run_once()
        store = world.listener.notifier._parts.subscribers.store
        with lite_database.begin() as connection:
            for one in subscriptions:
                store.turn(one, SubscriptionState.ACTIVE, SubscriptionState.SUSPENDED, connection)
        releases = [webhook_sink.hang(path) for path in paths]
        earlier = {path: len(webhook_sink.at(path)) for path in paths}
        round_ = threading.Thread(target=world.run_once)
        round_.start()
        for path in paths:
            webhook_sink.wait(earlier[path] + 1, path)
        _, before = leader(world)
        wait_until(lambda: leader(world)[1] >= before + 2, what="the lease is renewed meanwhile")

        webhook_sink.behave("/a", statuses=[204])
        with lite_database.begin() as connection:
            connection.execute(sa.update(tables.leader_lease).values(owner="another"))
        round_.join(20)
        assert not round_.is_alive(), "a process without the lease continues its round"
        assert [state_of(world, one) for one in subscriptions] == ["suspended"] * 3
        assert leader(world)[0] == "another"
        for release in releases:
            release()


def state_of(world: World, subscription: str) -> str:
    table = ifa_tables.subscription
    with world.database.read() as connection:
        query = sa.select(table.c.state).where(table.c.subscription_id == subscription)
        return str(connection.execute(query).scalar_one())
