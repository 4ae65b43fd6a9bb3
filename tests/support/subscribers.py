"""A cloud with subscribers for tests: its API, one listener, consumers on real sockets."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import jsonschema
import sqlalchemy as sa

from eventalarm.model import UTC
from eventalarm.storage import database as storage
from eventalarm.storage import tables
from tests.support.builders import event_body, rule
from tests.support.helpers import Received, WebhookSink, wait_until
from tests.support.ifa_api import DOCUMENT, IfaApi
from tests.support.listening import Listening

SUBSCRIPTIONS = "/vnffm/v1/subscriptions"
ALARM_NOTIFICATION, CLEARED_NOTIFICATION = "AlarmNotification", "AlarmClearedNotification"
REBUILT_NOTIFICATION = "AlarmListRebuiltNotification"
THRESHOLD = {"metric": "cpu_util", "resource_type": "instance", "resource_id": "vm-t"}
NOTIFICATION = jsonschema.Draft202012Validator(
    {"$ref": "#/components/schemas/FmNotification", "components": DOCUMENT["components"]},
    format_checker=jsonschema.FormatChecker(),
)


class World:
    """A cloud, its API and one listener; consumers are paths of one sink."""

    def __init__(self, database: storage.Database, sink: WebhookSink, **options: Any) -> None:
        self.database = database
        self.sink = sink
        self.api = IfaApi(database, aodh_notifications=False, **options)
        self.listener: Listening

    def subscribe(self, path: str, **how: Any) -> str:
        """Subscribe with a callback at *path*; return the id."""
        self.sink.behave(path, statuses=[204])
        fields: dict[str, Any] = {name: how.pop(name) for name in ("filter", "authentication") if name in how}
        body = {"callbackUri": self.sink.url(path), **fields}
        answer = self.api.call("POST", SUBSCRIPTIONS, body=body, **how)
        assert answer.status_code == 201, answer.text
        return str(answer.json["id"])

    def posts(self, path: str) -> list[Received]:
        return [request for request in self.sink.at(path) if request.method == "POST"]

    def received(self, path: str, count: int = 1) -> list[Any]:
        """Return the notifications at *path* once there are *count* of them."""
        wait_until(lambda: len(self.posts(path)) >= count, 20, f"{count} notifications at {path}")
        found = [request.json for request in self.posts(path)]
        for one in found:
            NOTIFICATION.validate(one)
        return found

    def kinds(self, path: str, count: int) -> list[str]:
        return [one["notificationType"] for one in self.received(path, count)]

    def run_once(self) -> None:
        """Do what the notifier of a listener does once a second, including a round of probes."""
        self.listener.notifier._next_round = 0.0
        self.listener.notifier.run_once()

    def run_until(self, condition: Callable[[], object], timeout: float = 30.0, what: str = "") -> None:
        """Do what the notifier does, until *condition* is true."""

        def held() -> bool:
            if condition():
                return True
            self.run_once()
            return False

        wait_until(held, timeout, what)

    def quiet(self) -> None:
        """Return when no delivery is unfinished."""
        table = tables.delivery
        query = sa.select(sa.func.count()).where(table.c.state.in_(["pending", "leased"]))

        def none() -> bool:
            with self.database.read() as connection:
                return connection.execute(query).scalar_one() == 0

        wait_until(none, 20, "an empty outbox")


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
