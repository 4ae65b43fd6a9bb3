"""Timers of real listener processes: within a second, once, and through SIGKILL."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm.model import UTC
from tests.support.cloud import Cloud, Spawn, make_event
from tests.support.helpers import WebhookSink, wait_until

AFTER = 2.0
QUICK = {"lease": 2.0, "poll_interval": 0.2}


@pytest.fixture
def cloud(spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str) -> Iterator[Cloud]:
    """A cloud without listeners and API yet."""
    transport = f"{rabbit_url}?rabbit_quorum_queue=true"
    one = Cloud(spawn, tmp_path, our_mariadb_url, transport, eventalarm_delivery=QUICK)
    yield one
    one.close()


def create(cloud: Cloud, sink: WebhookSink, **rule: Any) -> str:
    """Create an alarm on errors of any instance that sends every transition to *sink*."""
    query = [{"field": "traits.state", "value": "error"}]
    return cloud.create_alarm(
        [sink.url("/alarm")],
        type="notification",
        ok_actions=[sink.url("/ok")],
        event_rule={"event_type": "compute.instance.*", "query": query, **rule},
    )


def due(cloud: Cloud) -> list[datetime.datetime]:
    rows = cloud.rows("SELECT due_at FROM eventalarm_timer WHERE due_at IS NOT NULL")
    return [row["due_at"].replace(tzinfo=UTC) for row in rows]


def test_no_timer_is_lost_with_a_killed_listener(cloud: Cloud, webhook_sink: WebhookSink) -> None:
    """Fails when timers live in the memory of a process. Prints how late the webhooks are.

    If a listener dies while the timer runs, another fires it in time. If all are dead when it is due, the
    next one that starts fires it at once.
    """
    alarm = create(cloud, webhook_sink, clear_after=AFTER)
    first, second = cloud.start_listener(), cloud.start_listener()
    cloud.publish(make_event("vm-1"))
    (raised,) = webhook_sink.wait(1, "/alarm")
    occurrence = raised.json["reason_data"]["occurrence"]
    assert (occurrence["managed_object"], occurrence["transition"], occurrence["raised"]) == (
        "vm-1",
        "raised",
        1,
    )
    (moment,) = due(cloud)
    first.kill()
    (cleared,) = webhook_sink.wait(1, "/ok")
    late = (datetime.datetime.now(UTC) - moment).total_seconds()
    event = cleared.json["reason_data"]["event"]
    assert event["event_type"] == "eventalarm.timer.clear_after"
    assert cleared.json["reason_data"]["occurrence"] == {**occurrence, "transition": "cleared", "raised": 0}
    assert 0 <= late < 1.0

    cloud.publish(make_event("vm-1"))
    # Webhooks are not counted here: the survivor may repeat the first one if it was not recorded.
    (moment,) = wait_until(lambda: due(cloud), 30, "the timer of the second life")
    second.kill()
    wait_until(lambda: cloud.database.now() > moment, 10, "the timer is overdue")
    cloud.start_listener()
    wait_until(lambda: len(cloud.transitions(alarm)) == 4, 30, "the second clear")
    cloud.settle()
    assert [t["kind"] for t in cloud.transitions(alarm)] == ["raised", "cleared", "raised", "cleared"]
    # If a process dies between a POST and its record, another repeats it under the same id.
    delivery_ids = {request.headers["X-Eventalarm-Delivery-Id"] for request in webhook_sink.wait(2, "/ok")}
    assert len(delivery_ids) == 2
    print(f"clear_after {AFTER:g} s: the webhook came {late:.3f} s after its time, one of two was killed")


def test_absence_is_noticed_without_any_event(cloud: Cloud, webhook_sink: WebhookSink) -> None:
    """Fails when a timer is armed by events only."""
    cloud.start_listener()
    alarm = create(cloud, webhook_sink, resource_id="vm-1", absence={"after": 1.0})
    (raised,) = webhook_sink.wait(1, "/alarm")
    recorded = cloud.transitions(alarm)[0]["recorded_at"]
    created = cloud.rows("SELECT timestamp FROM alarm WHERE alarm_id = :id", id=alarm)[0]["timestamp"]
    late = (recorded - created).total_seconds() - 1.0
    print(f"absence after 1 s: raised {late:.3f} s after that, counted from the creation")
    moment = datetime.datetime.fromisoformat(raised.json["reason_data"]["event"]["generated"])
    assert 0 <= (recorded - moment).total_seconds() < 1.0
    cloud.publish(make_event("vm-1"))
    webhook_sink.wait(1, "/ok")
