"""Dead letters on real databases and beside real listeners: found, retried in order, removed."""

from __future__ import annotations

import datetime
import itertools
import json
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.cmd import delivery
from eventalarm.delivery import action
from eventalarm.model import UTC, Delivery, DeliveryResult, DeliveryState
from eventalarm.model.deliveries import FINISHED
from eventalarm.storage import database as storage
from eventalarm.storage import delivery_queries, tables
from eventalarm.storage.deliveries import order_key
from eventalarm.storage.delivery_queries import DeliveryQueries
from eventalarm.storage.delivery_selection import Selection
from eventalarm.storage.outbox import Outbox
from tests.functional.conftest import Spawn
from tests.support import inprocess
from tests.support.cloud import Cloud, make_event
from tests.support.helpers import WebhookSink, console_script, wait_until

NOW = datetime.datetime.now(UTC)
DAY = datetime.timedelta(days=1)
NUMBERS = itertools.count(1)
SECRET = "s3cr3t"


@pytest.fixture
def database(our_database_url: str) -> Iterator[storage.Database]:
    opened = storage.connect(our_database_url)
    yield opened
    opened.dispose()


def put(database: storage.Database, state: str = "failed", **values: Any) -> str:
    """Add a delivery and return its id."""
    name = f"d{next(NUMBERS)}"
    alarm, action = values.setdefault("alarm_id", f"a-{name}"), values.setdefault("action", "http://h/")
    row = {
        "delivery_id": name,
        "transition_id": f"t-{name}",
        "order_key": order_key(alarm, action),
        "project_id": "p",
        "state": state,
        "attempts": 10,
        "error": "http_5xx: HTTP 503",
        "status": 503,
        "next_attempt_at": NOW - DAY,
        "created_at": NOW - DAY,
        "finished_at": NOW if state in FINISHED else None,
        **values,
    }
    with database.begin() as connection:
        connection.execute(sa.insert(tables.delivery), row)
    return name


def row(database: storage.Database, name: str) -> dict[str, Any]:
    with database.read() as connection:
        query = sa.select(tables.delivery).where(tables.delivery.c.delivery_id == name)
        return dict(connection.execute(query).mappings().one())


def found(database: storage.Database, **filters: Any) -> list[str]:
    return [delivery.delivery_id for delivery in DeliveryQueries(database).find(Selection(**filters), 1000)]


def claimed(outbox: Outbox, **options: Any) -> list[str]:
    return [item.delivery_id for item in outbox.claim("me", 100, **options)]


def test_filters(database: storage.Database) -> None:
    plain = put(database)
    other = put(database, project_id="q", alarm_id="b", action="https://u:p@Hooks.example:8443/a_1")
    old = put(database, created_at=NOW - 9 * DAY)
    sent = put(database, "delivered")
    waiting = put(database, "pending")
    assert found(database) == [waiting, sent, old, other, plain]
    assert found(database, states=("failed",)) == [old, other, plain]
    assert found(database, states=("failed",), project_id="p") == [old, plain]
    assert found(database, alarm_id="b") == [other]
    assert found(database, until=NOW - 2 * DAY) == [old]
    assert found(database, states=("failed",), since=NOW - 2 * DAY) == [other, plain]
    assert found(database, delivery_ids=(sent, "unknown")) == [sent]
    wanted = "https://hooks.example:8443/a_"
    there: dict[str, Any] = {"goes_to": action.goes_to(wanted), "hint": action.hint(wanted)}
    assert found(database, **there) == [other]
    assert DeliveryQueries(database).count(Selection(**there)) == 1
    assert DeliveryQueries(database).count(Selection(states=("failed",))) == 3


def test_a_retried_delivery_keeps_its_id_its_reason_and_its_count(database: storage.Database) -> None:
    name, untouched = put(database), put(database, "delivered")
    outbox = Outbox(database)
    outbox.register("me", "host", 100.0)
    assert claimed(outbox, overlooked=True) == []
    assert DeliveryQueries(database).retry(Selection(delivery_ids=(name, untouched))) == 1
    (delivery,) = DeliveryQueries(database).find(Selection(delivery_ids=(name,)), 1)
    assert (delivery.state, delivery.attempts, delivery.error) == ("pending", 10, "http_5xx: HTTP 503")
    assert delivery.finished_at is None
    assert delivery.retried_at is not None
    (item,) = outbox.claim("me", 100)
    assert (item.delivery_id, item.attempts) == (name, 0)
    assert row(database, untouched)["state"] == "delivered"


def test_retried_deliveries_leave_in_order_before_what_came_later(database: storage.Database) -> None:
    same = {"alarm_id": "a"}
    first, second = put(database, **same), put(database, **same)
    later = put(database, "pending", next_attempt_at=NOW - DAY, **same)
    outbox = Outbox(database)
    outbox.register("me", "host", 100.0)
    assert DeliveryQueries(database).retry(Selection()) == 2
    key = order_key("a", "http://h/")
    for expected in (first, second, later):
        (item,) = outbox.claim_next("me", {key})
        assert item.delivery_id == expected
        assert outbox.claim("me", 100, overlooked=True) == []
        outbox.record("me", [delivered(item)])


def delivered(item: Delivery) -> DeliveryResult:
    return DeliveryResult(item.delivery_id, DeliveryState.DELIVERED, item.attempts + 1, status=200)


def test_a_retried_delivery_waits_while_a_later_one_is_under_way(database: storage.Database) -> None:
    outbox = Outbox(database)
    outbox.register("me", "host", 100.0)
    failed = put(database, alarm_id="a")
    under_way = put(database, "leased", owner="me", alarm_id="a")
    assert DeliveryQueries(database).retry(Selection()) == 1
    # The pass over all waiting deliveries also leaves it alone, as long as a live worker holds the other.
    assert claimed(outbox, overlooked=True) == []
    with database.begin() as connection:
        connection.execute(sa.delete(tables.worker))
    outbox.register("you", "host", 100.0)
    assert [d.delivery_id for d in outbox.claim("you", 9, overlooked=True)] == [failed]
    assert row(database, under_way)["state"] == "leased"


def test_purge_removes_the_selected_finished_deliveries(
    database: storage.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_queries, "CHUNK", 2)
    gone = [put(database) for _ in range(5)]
    stay = [put(database, "delivered"), put(database, "pending"), put(database, "leased", owner="x")]
    counts: list[int] = []
    assert DeliveryQueries(database).purge(Selection(states=("failed",)), counts.append) == len(gone)
    assert counts == [2, 4, 5]
    assert sorted(found(database)) == sorted(stay)
    assert DeliveryQueries(database).purge(Selection(states=("pending", "leased"))) == 0
    assert DeliveryQueries(database).purge(Selection()) == 1


def test_retry_in_many_transactions(database: storage.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_queries, "CHUNK", 2)
    names = [put(database, alarm_id="a") for _ in range(5)]
    assert DeliveryQueries(database).retry(Selection(states=("failed",))) == len(names)
    due = [row(database, name)["next_attempt_at"].year for name in names]
    assert due == [1970, 9999, 9999, 9999, 9999]


# ---- the command, beside a real listener


def command(cloud: Cloud, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = inprocess.run(delivery.main, "--config-file", str(cloud.conf_path), *words)
    assert done.returncode == code, done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
    return done


def test_the_command_beside_a_running_listener(
    spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str, webhook_sink: WebhookSink
) -> None:
    delivery = {"max_attempts": 2, "retry_initial": 0.01, "poll_interval": 0.2}
    cloud = Cloud(spawn, tmp_path, our_mariadb_url, rabbit_url, eventalarm_delivery=delivery)
    path = f"/down?token={SECRET}"
    webhook_sink.behave(path, statuses=[503])
    action = webhook_sink.url("/down").replace("//", f"//user:{SECRET}@") + f"?token={SECRET}"
    alarm_id = cloud.create_alarm([action], repeat_actions=True)
    cloud.start_listener()
    for number in range(3):
        cloud.publish(make_event(name=str(number)))
    query = "SELECT count(*) AS n FROM eventalarm_delivery WHERE state = 'failed'"
    wait_until(lambda: cloud.rows(query)[0]["n"] == 3, 30.0, "three failed deliveries")

    installed = [console_script("eventalarm-delivery"), "--config-file", str(cloud.conf_path)]
    as_json = ["list", "--alarm", alarm_id, "-f", "json"]
    listing = subprocess.run([*installed, *as_json], capture_output=True, text=True, timeout=60, check=True)
    listed = json.loads(listing.stdout)
    assert json.loads(command(cloud, *as_json).stdout) == listed
    assert len(listed) == 3
    assert {(one["state"], one["attempts"], one["status"]) for one in listed} == {("failed", 2, 503)}
    assert all(one["error"] == "http_5xx: HTTP 503" and one["finished_at"] for one in listed)
    assert listed[0]["destination"] == webhook_sink.url("/down").replace("//", "//***@") + "?token=***"
    shown = json.loads(command(cloud, "show", listed[0]["delivery_id"], "-f", "json").stdout)
    assert (shown["alarm_name"], shown["current"]) == ("alarm of vm-1", "alarm")

    assert "--all" in command(cloud, "retry", code=2).stderr
    assert "unknown: nonsense" in command(cloud, "retry", "nonsense", code=2).stderr
    before = len(webhook_sink.at(path))
    webhook_sink.behave(path)
    retried = command(cloud, "retry", "--destination", f"127.0.0.1:{webhook_sink.port}")
    assert retried.stdout == "3 deliveries are due again\n"
    assert retried.stderr == ""
    cloud.settle()
    repeated = [r.headers["X-Eventalarm-Delivery-Id"] for r in webhook_sink.at(path)[before:]]
    assert repeated == [one["delivery_id"] for one in reversed(listed)]

    assert "confirm with --yes" in command(cloud, "purge", "--state", "delivered", "--all", code=2).stderr
    assert command(cloud, "purge", "--state", "failed", "--yes").stdout == "0 deliveries were removed\n"
    purged = command(cloud, "purge", "--state", "delivered", "--project", "project-1", "--yes")
    assert purged.stdout == "3 deliveries were removed\n"
    assert command(cloud, "list", "--state", "all").stdout.strip() == ""
    cloud.close()
