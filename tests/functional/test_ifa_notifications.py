"""What subscribers hear, on every database and over real sockets (issue 6, point 3)."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.model import ALARM, OK, UTC
from eventalarm.storage import database as storage
from eventalarm.storage import schema, tables
from tests.builders import PROJECT, event_body, rule
from tests.functional.helpers import Received, WebhookSink, wait_until
from tests.functional.ifa_api import ADMIN, IfaApi
from tests.functional.listening import Listening, listening

SUBSCRIPTIONS = "/vnffm/v1/subscriptions"
ALARM_NOTICE, CLEARED_NOTICE = "AlarmNotification", "AlarmClearedNotification"
REBUILT_NOTICE = "AlarmListRebuiltNotification"
THRESHOLD = {"metric": "cpu_util", "resource_type": "instance", "resource_id": "vm-t"}


@pytest.fixture
def opened(aodh_database_url: str) -> Iterator[storage.Database]:
    """A database with Aodh's schema and ours, once on each engine."""
    result = storage.connect(aodh_database_url)
    schema.upgrade(result)
    yield result
    result.dispose()


@pytest.fixture
def lite(aodh_sqlite_url: str) -> Iterator[storage.Database]:
    """A SQLite database alone, for what is not about SQL."""
    result = storage.connect(aodh_sqlite_url)
    schema.upgrade(result)
    yield result
    result.dispose()


class World:
    """A cloud, its API and one listener; consumers are paths of one sink."""

    def __init__(self, database: storage.Database, sink: WebhookSink, **options: Any) -> None:
        self.database = database
        self.sink = sink
        self.api = IfaApi(database, **options)
        self.listener: Listening

    def subscribe(self, path: str, **how: Any) -> str:
        """Subscribe with a callback at *path*; return the id."""
        self.sink.behave(path, statuses=[204])
        fields = {name: how.pop(name) for name in ("filter", "authentication") if name in how}
        body = {"callbackUri": self.sink.url(path), **fields}
        answer = self.api.call("POST", SUBSCRIPTIONS, body=body, **how)
        assert answer.status_code == 201, answer.text
        return str(answer.json["id"])

    def posts(self, path: str) -> list[Received]:
        return [request for request in self.sink.at(path) if request.method == "POST"]

    def heard(self, path: str, count: int = 1) -> list[Any]:
        """Return the notifications at *path* once there are *count* of them."""
        wait_until(lambda: len(self.posts(path)) >= count, 20, f"{count} notifications at {path}")
        return [request.json for request in self.posts(path)]

    def kinds(self, path: str, count: int) -> list[str]:
        return [one["notificationType"] for one in self.heard(path, count)]

    def step(self) -> None:
        """Do what a listener does once a second, a round included."""
        self.listener.notifier._next_round = 0.0
        self.listener.notifier.step()

    def quiet(self) -> None:
        """Return when nothing is under way to anybody."""
        table = tables.delivery
        query = sa.select(sa.func.count()).where(table.c.state.in_(["pending", "leased"]))

        def none() -> bool:
            with self.database.read() as connection:
                return connection.execute(query).scalar_one() == 0

        wait_until(none, 20, "an empty outbox")


@pytest.fixture
def world(opened: storage.Database, webhook_sink: WebhookSink) -> Iterator[World]:
    made = World(opened, webhook_sink)
    with listening(made.api.conf, opened) as made.listener:
        yield made


@pytest.fixture
def small(lite: storage.Database, webhook_sink: WebhookSink) -> Iterator[World]:
    made = World(lite, webhook_sink, suspend_after=1.0, probe_interval=0.1)
    with listening(made.api.conf, lite) as made.listener:
        yield made


def fault(server: str, **traits: Any) -> dict[str, Any]:
    generated = datetime.datetime.now(UTC).replace(tzinfo=None).isoformat()
    return event_body(instance_id=server, generated=generated, **{"state": "error", **traits})


def bound(server: str) -> dict[str, Any]:
    return rule(instance_id=server, state="error")


def threshold(world: World, alarm_id: str, state: str, **columns: Any) -> None:
    """Let a stock evaluator change the state of a threshold alarm, as it writes: row and history."""
    world.api.put(alarm_id, state=state, state_reason=f"now {state}", **columns)
    detail = {"state": state, "transition_reason": f"now {state}"}
    world.api.record(alarm_id, "state transition", detail, datetime.datetime.now(UTC))


def test_a_raise_and_its_clear_are_told(world: World) -> None:
    alarm_id = world.api.alarm(bound("vm-1"), severity="critical", ok_actions=["log://"], alarm_actions=[])
    subscription = world.subscribe("/nfvo")
    world.listener.process(fault("vm-1", host="compute-3"))
    (raised,) = world.heard("/nfvo")
    shown = world.api.get(f"/vnffm/v1/alarms/{alarm_id}").json
    shown["_links"] = raised["alarm"]["_links"]
    assert raised["alarm"] == shown
    assert raised["notificationType"] == ALARM_NOTICE
    assert raised["subscriptionId"] == subscription
    assert raised["_links"]["subscription"]["href"] == f"/vnffm/v1/subscriptions/{subscription}"
    assert raised["alarm"]["_links"]["self"]["href"] == f"/vnffm/v1/alarms/{alarm_id}"
    world.listener.process(fault("vm-1", state="active"))
    cleared = world.heard("/nfvo", 2)[1]
    assert (cleared["notificationType"], cleared["alarmId"]) == (CLEARED_NOTICE, alarm_id)
    (known,) = world.api.get("/vnffm/v1/alarms").json
    assert cleared["alarmClearedTime"] == known["alarmClearedTime"]
    assert cleared["_links"]["alarm"]["href"] == f"/vnffm/v1/alarms/{alarm_id}"
    request = world.posts("/nfvo")[0]
    assert request.headers["Version"] == "1.3.0"
    assert request.headers["Content-Type"] == "application/json"
