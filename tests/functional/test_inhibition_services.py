"""Inhibition with a real inspector, real listeners, a broker and a database."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from tests.support.cloud import PROJECT, Cloud, Spawn, make_event
from tests.support.helpers import WebhookSink, wait_until
from tests.support.inspector import Inspectors
from tests.support.maintenance import Maintenance

QUICK = {"lease": 2.0, "poll_interval": 0.2}


@pytest.fixture
def cloud(spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str) -> Iterator[Cloud]:
    """A cloud without listeners and API yet."""
    transport = f"{rabbit_url}?rabbit_quorum_queue=true"
    one = Cloud(spawn, tmp_path, our_mariadb_url, transport, eventalarm_delivery=QUICK)
    yield one
    one.close()


def alarm(cloud: Cloud, sink: WebhookSink, vm: str) -> str:
    return cloud.create_alarm([sink.url(f"/{vm}")], instance=vm, ok_actions=[sink.url(f"/{vm}/ok")])


def recorded(cloud: Cloud, alarm_id: str, number: int) -> None:
    wait_until(lambda: len(cloud.transitions(alarm_id)) == number, 30, f"{number} transitions")


def maintain(cloud: Cloud, state: str) -> None:
    traits: dict[str, Any] = {"host": "c0", "session_id": "s-1"}
    cloud.publish(make_event("c0", state, event_type="maintenance.host", **traits))


def test_owners_are_notified_at_the_end_of_what_is_still_true(
    cloud: Cloud, webhook_sink: WebhookSink, spawn: Spawn, tmp_path: pathlib.Path
) -> None:
    """Fails if a webhook is called during the maintenance, at its end never or twice, or for what cleared."""
    inspectors = Inspectors(spawn, tmp_path, cloud)
    inspectors.start()
    cloud.start_listener()
    inspectors.place("c0", dict.fromkeys(("vm-1", "vm-2"), PROJECT))
    inspectors.place("c1", {"vm-3": PROJECT})
    names = {vm: alarm(cloud, webhook_sink, vm) for vm in ("vm-1", "vm-2", "vm-3")}
    maintain(cloud, "IN_MAINTENANCE")
    query = "SELECT resource_id FROM eventalarm_inhibition WHERE ended_at IS NULL"
    wait_until(lambda: len(cloud.rows(query)) == 3, 30, "the inhibition of the host and its servers")
    cloud.publish(*(make_event(vm) for vm in names))
    for name in names.values():
        recorded(cloud, name, 1)
    cloud.publish(make_event("vm-2", "active"))
    recorded(cloud, names["vm-2"], 2)
    webhook_sink.wait(1, "/vm-3")
    maintain(cloud, "MAINTENANCE_COMPLETE")
    (notified,) = webhook_sink.wait(1, "/vm-1")
    assert (notified.json["previous"], notified.json["current"]) == ("insufficient data", "alarm")
    assert notified.json["reason_data"]["inhibited_by"] == "s-1"
    assert "maintenance s-1" in notified.json["reason"]
    cloud.publish(make_event("vm-1", "active"))
    webhook_sink.wait(1, "/vm-1/ok")
    cloud.settle()
    posts = {path: len(webhook_sink.at(f"/{path}")) for vm in names for path in (vm, f"{vm}/ok")}
    expected = {"vm-1": 1, "vm-1/ok": 1, "vm-2": 0, "vm-2/ok": 0, "vm-3": 1, "vm-3/ok": 0}
    assert posts == expected


def test_a_listener_killed_while_it_releases_loses_and_doubles_nothing(
    cloud: Cloud, webhook_sink: WebhookSink
) -> None:
    """Fails if a release is recorded before its deliveries, or is not repeated by another listener."""
    maintenance = Maintenance(cloud.database)
    maintenance.place("c0", ["vm-1"])
    name = alarm(cloud, webhook_sink, "vm-1")
    first = cloud.start_listener()
    maintenance.begin("c0")
    cloud.publish(make_event("vm-1"))
    recorded(cloud, name, 1)
    somebody = sa.create_engine(cloud.database_url, poolclass=sa.NullPool)
    waits = "SELECT count(*) AS n FROM information_schema.innodb_lock_waits"
    with somebody.begin() as connection:
        connection.execute(sa.text("SELECT occurrence_id FROM eventalarm_occurrence FOR UPDATE"))
        maintenance.end("c0")
        wait_until(
            lambda: cloud.rows(waits)[0]["n"] or "Timers are waiting for the database" in first.text(),
            what="a release that waits for the row",
        )
        first.kill()
    assert cloud.rows("SELECT delivery_id FROM eventalarm_delivery") == []
    cloud.start_listener()
    cloud.start_listener()
    webhook_sink.wait(1, "/vm-1")
    cloud.settle()
    assert len(webhook_sink.at("/vm-1")) == 1
    assert len(cloud.rows("SELECT delivery_id FROM eventalarm_delivery")) == 1
