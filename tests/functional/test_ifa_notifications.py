"""Notifications of alarms, on every database and over real sockets."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
import sqlalchemy as sa

from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.evaluator.release import InhibitionRelease
from eventalarm.model import ALARM, OK, UTC
from eventalarm.storage import database as storage
from eventalarm.storage import tables
from eventalarm.storage.leases import LeaderLease
from tests.support.builders import event_body
from tests.support.helpers import WebhookSink
from tests.support.ifa_api import ADMIN
from tests.support.listening import listening
from tests.support.maintenance import Maintenance
from tests.support.subscribers import (
    ALARM_NOTIFICATION,
    CLEARED_NOTIFICATION,
    THRESHOLD,
    World,
    bound,
    fault,
    threshold,
)

PATHS = ("/one", "/two", "/three")
# The root of the links in responses to the test client.
ROOT = "http://falconframework.org"


@pytest.fixture
def opened(our_database_url: str) -> Iterator[storage.Database]:
    """A database with Aodh's schema and ours, once on each engine."""
    result = storage.connect(our_database_url)
    yield result
    result.dispose()


@pytest.fixture
def world(opened: storage.Database, webhook_sink: WebhookSink) -> Iterator[World]:
    made = World(opened, webhook_sink)
    with listening(made.api.conf, opened) as made.listener:
        yield made


def test_a_raise_and_its_clear_are_notified(world: World) -> None:
    alarm_id = world.api.alarm(bound("vm-1"), severity="critical", ok_actions=["log://"], alarm_actions=[])
    subscription = world.subscribe("/nfvo")
    world.listener.process(fault("vm-1", host="compute-3"))
    (raised,) = world.received("/nfvo")
    shown = world.api.get(f"/vnffm/v1/alarms/{alarm_id}").json
    shown["_links"] = raised["alarm"]["_links"]
    assert raised["alarm"] == shown
    assert raised["notificationType"] == ALARM_NOTIFICATION
    assert raised["subscriptionId"] == subscription
    assert raised["_links"]["subscription"]["href"] == f"{ROOT}/vnffm/v1/subscriptions/{subscription}"
    assert raised["alarm"]["_links"]["self"]["href"] == f"{ROOT}/vnffm/v1/alarms/{alarm_id}"
    world.listener.process(fault("vm-1", state="active"))
    cleared = world.received("/nfvo", 2)[1]
    assert (cleared["notificationType"], cleared["alarmId"]) == (CLEARED_NOTIFICATION, alarm_id)
    (known,) = world.api.get("/vnffm/v1/alarms").json
    assert cleared["alarmClearedTime"] == known["alarmClearedTime"]
    assert cleared["_links"]["alarm"]["href"] == f"{ROOT}/vnffm/v1/alarms/{alarm_id}"
    request = world.posts("/nfvo")[0]
    assert request.headers["Version"] == "1.3.0"
    assert request.headers["Content-Type"] == "application/json"


def test_subscribers_are_notified_at_the_end_of_a_maintenance(world: World, opened: storage.Database) -> None:
    """Fails if the listener or its reconciliation notifies before, or the end notifies of what cleared."""
    maintenance = Maintenance(opened)
    maintenance.place("c0", ["vm-1", "vm-2"])
    alarm_id, _ = (
        world.api.alarm(bound(vm), ok_actions=["log://"], alarm_actions=[]) for vm in ("vm-1", "vm-2")
    )
    world.subscribe("/nfvo")
    maintenance.begin("c0")
    world.listener.process(fault("vm-1"), fault("vm-2"))
    world.listener.process(fault("vm-2", state="active"))
    world.run_once()
    world.quiet()
    assert world.posts("/nfvo") == []
    assert "inhibitedBy=s-1" in world.api.get(f"/vnffm/v1/alarms/{alarm_id}").json["faultDetails"]
    maintenance.end("c0")
    InhibitionRelease(opened, cast(OutboxEnqueuer, world.listener.engine.enqueuer)).run_once()
    (raised,) = world.received("/nfvo")
    assert (raised["notificationType"], raised["alarm"]["id"]) == (ALARM_NOTIFICATION, alarm_id)
    assert "inhibitedBy=s-1" in raised["alarm"]["faultDetails"]
    world.run_once()
    world.listener.process(fault("vm-1", state="active"))
    assert world.kinds("/nfvo", 2) == [ALARM_NOTIFICATION, CLEARED_NOTIFICATION]


def test_notifications_stay_in_their_project_and_have_one_id_for_all(world: World) -> None:
    world.subscribe("/mine")
    world.subscribe("/mine-too")
    world.subscribe("/others", project="project-b")
    world.subscribe("/all", project="operators", roles=ADMIN, all_projects="true")
    world.api.alarm(bound("vm-1"))
    world.api.alarm(bound("vm-1"), project_id="project-b")
    world.listener.process(fault("vm-1"), event_body(project="project-b", instance_id="vm-1", state="error"))
    everybody = {path: world.received(path) for path in ("/mine", "/mine-too", "/others")}
    everything = world.received("/all", 2)
    world.quiet()
    ids = {path: [one["id"] for one in bodies] for path, bodies in everybody.items()}
    assert ids["/mine"] == ids["/mine-too"]
    assert len(ids["/mine"]) == len(ids["/others"]) == 1
    assert {one["id"] for one in everything} == {*ids["/mine"], *ids["/others"]}
    assert len({one["subscriptionId"] for bodies in everybody.values() for one in bodies}) == 3


def test_a_listener_records_that_deleted_alarms_are_cleared(world: World) -> None:
    alarm_id = world.api.alarm(bound("vm-1"))
    world.listener.process(fault("vm-1"))
    world.api.delete(alarm_id)
    path = f"/vnffm/v1/alarms/{alarm_id}"
    estimate = world.api.get(path).json
    assert estimate["alarmClearedTime"] == estimate["alarmRaisedTime"]
    world.run_once()
    recorded = world.api.get(path).json
    assert recorded["alarmClearedTime"] > recorded["alarmRaisedTime"]
    assert [one["id"] for one in world.api.get("/vnffm/v1/alarms").json] == [alarm_id]
    assert "cleared_time=estimated" not in recorded["faultDetails"]


def test_stock_alarms_are_notified_with_their_edits_resets_and_deletions(world: World) -> None:
    names = ("reset", "deleted", "edited", "cleared", "early")
    for name in names:
        rule_of = THRESHOLD | {"resource_id": f"vm-{name}"}
        world.api.alarm(rule_of, name, type="gnocchi_resources_threshold", severity="moderate")
    threshold(world, "early", ALARM)
    aged = datetime.datetime.now(UTC) - datetime.timedelta(minutes=5)
    with world.database.begin() as connection:
        connection.execute(sa.update(tables.alarm_history).values(timestamp=aged))
    world.subscribe("/nfvo")
    world.run_once()
    for name in names[:4]:
        threshold(world, name, ALARM)
    world.run_once()
    raised = world.received("/nfvo", 4)
    assert {one["alarm"]["id"] for one in raised} == set(names[:4]), "what was raised before is not notified"
    assert {one["alarm"]["perceivedSeverity"] for one in raised} == {"MAJOR"}
    now = datetime.datetime.now(UTC)
    world.api.put("reset", state=OK, state_reason="Manually set via API", state_timestamp=now)
    world.api.delete("deleted")
    world.api.put("edited", severity="critical", timestamp=now)
    world.api.record("edited", "rule change", {"severity": "critical"}, now)
    threshold(world, "cleared", OK)
    threshold(world, "early", OK)
    world.run_once()
    news = world.received("/nfvo", 9)[4:]
    cleared = {one["alarmId"] for one in news if one["notificationType"] == CLEARED_NOTIFICATION}
    (changed,) = [one["alarm"] for one in news if one["notificationType"] == ALARM_NOTIFICATION]
    assert cleared == {"reset", "deleted", "cleared", "early"}
    assert (changed["id"], changed["perceivedSeverity"]) == ("edited", "CRITICAL")
    assert "alarmChangedTime" in changed
    world.run_once()
    world.quiet()
    assert len(world.posts("/nfvo")) == 9, "nothing is notified twice"


def test_our_alarms_are_notified_when_people_reset_edit_and_delete_them(world: World) -> None:
    ids = [world.api.alarm(bound(f"vm-{n}"), f"alarm-{n}", severity="low") for n in range(3)]
    world.subscribe("/nfvo")
    world.listener.process(*(fault(f"vm-{n}") for n in range(3)))
    world.received("/nfvo", 3)
    now = datetime.datetime.now(UTC)
    world.api.put(ids[0], state=OK, state_reason="Manually set via API", state_timestamp=now)
    world.api.delete(ids[1])
    world.api.put(ids[2], severity="critical", timestamp=now)
    world.api.record(ids[2], "rule change", {"severity": "critical"}, now)
    world.run_once()
    news = world.received("/nfvo", 6)[3:]
    assert {one["alarmId"] for one in news if "alarmId" in one} == {ids[0], ids[1]}
    (changed,) = [one["alarm"] for one in news if "alarm" in one]
    assert (changed["id"], changed["perceivedSeverity"]) == (ids[2], "CRITICAL")
    world.listener.process(fault("vm-0"))
    assert world.kinds("/nfvo", 7)[6] == ALARM_NOTIFICATION
    world.run_once()
    world.quiet()
    assert len(world.posts("/nfvo")) == 7


def test_a_batch_costs_the_same_for_one_alarm_and_for_many_and_nothing_without_subscriptions(
    world: World,
) -> None:
    def cost(turn: int, count: int) -> int:
        for n in range(count):
            world.api.alarm(bound(f"vm-{turn}-{n}"), alarm_actions=[])
        world.listener.process(fault(f"vm-{turn}", state="fine"))
        me, seen = threading.get_ident(), []

        def note(*args: Any) -> None:
            if threading.get_ident() == me:
                seen.append(args[2])

        sa.event.listen(world.database.engine, "before_cursor_execute", note)
        world.listener.process(*(fault(f"vm-{turn}-{n}") for n in range(count)))
        sa.event.remove(world.database.engine, "before_cursor_execute", note)
        return len(seen)

    without = cost(0, 1)
    world.subscribe("/elsewhere", project="project-b")
    world.run_once()
    assert cost(1, 3) == without, "the subscription of another project costs nothing"
    world.subscribe("/one")
    world.subscribe("/two", filter={"minSeverity": "INDETERMINATE"})
    world.run_once()
    few, many = cost(2, 1), cost(3, 60)
    assert few == many
    print(f"\nstatements of a batch: {without} without subscribers, {many} with some")
    assert len(world.received("/one", 61)) == len(world.received("/two", 61)) == 61


@pytest.mark.parametrize("engine", ["mariadb", "postgresql"])
def test_subscribers_are_notified_within_100_ms_of_the_commit(
    engine: str, request: pytest.FixtureRequest, webhook_sink: WebhookSink
) -> None:
    database = storage.connect(request.getfixturevalue(f"our_{engine}_url"))
    world = World(database, webhook_sink)
    commits: list[tuple[int, float]] = []
    sa.event.listen(database.engine, "commit", lambda _: commits.append((threading.get_ident(), time.time())))
    with listening(world.api.conf, database) as world.listener:
        for path in PATHS:
            world.subscribe(path)
        # A shared machine may be busy for a moment, but not five times in a row.
        for turn in range(5):
            p50, p99 = lags_of_a_round(world, turn, commits)
            print(f"\n{engine}: 180 notifications, there after COMMIT p50 {p50:.1f} ms, p99 {p99:.1f} ms")
            if p99 < 100:
                break
    database.dispose()
    assert p99 < 100


def lags_of_a_round(world: World, turn: int, commits: list[tuple[int, float]]) -> tuple[float, float]:
    """Raise 60 alarms one by one; return p50 and p99 of what passed from COMMIT to the consumers, in ms."""
    names = [f"vm-{turn}-{n}" for n in range(60)]
    for name in names:
        world.api.alarm(bound(name), f"alarm of {name}")
    world.listener.process(fault("vm-none"))
    begun: dict[str, float] = {}
    for name in names:
        world.listener.process(fault(name))
        begun[f"alarm of {name}"] = [at for who, at in commits if who == threading.get_ident()][-1]
    lags = []
    for path in PATHS:
        world.received(path, len(names) * (turn + 1))
        arrivals = ((one.at, one.json["alarm"]["id"]) for one in world.posts(path))
        lags += [1000 * (at - begun[alarm_id]) for at, alarm_id in arrivals if alarm_id in begun]
    lags.sort()
    return lags[len(lags) // 2], lags[int(0.99 * len(lags))]


def test_one_process_at_a_time_holds_a_leader_lease(opened: storage.Database) -> None:
    elapsed = iter(range(0, 100_000, 300))
    first, second = (
        LeaderLease(opened, "watch", name, 600.0, elapsed.__next__) for name in ("first", "second")
    )
    assert first.take()
    assert first.take()
    assert not second.take()
    first.leave()
    assert second.take()
    assert not first.take()
    assert second.take()
    assert [first.take() for _ in range(3)] == [False, False, True], "a dead process does not block it"
    assert not second.take()
