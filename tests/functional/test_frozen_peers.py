"""No part blocks the others: a frozen listener, a stalled link, a row that stays locked.

The long form of the first one, three minutes with the options' defaults, is ``tox -e disrupt -- freeze``.
"""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.storage.database import connect
from eventalarm.storage.session import SessionLimits
from eventalarm.storage.timers import TimerReader
from tests.support.cloud import Cloud, Spawn, make_event
from tests.support.engine_harness import read_alarm
from tests.support.helpers import Process, WebhookSink
from tests.support.locked_rows import locked, wait_for_waiter
from tests.support.relay import Relay
from tests.support.timers import Listener as TimerListener
from tests.support.timers import make_due, notification_alarm

IDLE = 2.0


@pytest.fixture
def cloud(our_server_url: str, rabbit_url: str, spawn: Spawn, tmp_path: pathlib.Path) -> Iterator[Cloud]:
    """A cloud, once on each engine that serves one, whose sessions may idle in a transaction for a moment."""
    one = Cloud(
        spawn,
        tmp_path,
        our_server_url,
        rabbit_url,
        eventalarm={"idle_transaction_timeout": IDLE},
        eventalarm_delivery={"poll_interval": 0.2, "lease": 2.0},
    )
    yield one
    one.close()


def freeze_in_mid_transaction(cloud: Cloud, listener: Process) -> list[str]:
    """Stop a listener when it has locked the first of two alarms and waits for the second; return both."""
    alarms = sorted(cloud.create_alarm(instance=f"vm-{n}") for n in range(2))
    instances = cloud.rows("SELECT alarm_id, name FROM alarm")
    name = {row["alarm_id"]: row["name"].removeprefix("alarm of ") for row in instances}
    with locked(cloud, alarms[1]):
        cloud.publish(*(make_event(name[alarm]) for alarm in alarms))
        wait_for_waiter(cloud)
        os.killpg(listener.pid, signal.SIGSTOP)
    return [name[alarm] for alarm in alarms]


def test_a_frozen_listener_does_not_block_others(
    cloud: Cloud, webhook_sink: WebhookSink, figure: Callable[[str], None]
) -> None:
    """The server ends a session that idles in a transaction, and its locks with it."""
    listener = cloud.start_listener()
    frozen = freeze_in_mid_transaction(cloud, listener)
    at = time.monotonic()
    alarm = cloud.rows("SELECT alarm_id FROM alarm WHERE name = :name", name=f"alarm of {frozen[0]}")
    free = cloud.create_alarm([webhook_sink.url("/free")], instance="free")
    cloud.start_listener()
    for _ in range(6):
        # The broker hands every other message to the frozen listener, which keeps it until it continues.
        for instance in (frozen[0], frozen[0], "free", "free"):
            cloud.publish(make_event(instance))
    cloud.wait_for_state(free, "alarm", IDLE + 20)
    others = time.monotonic() - at
    cloud.wait_for_state(alarm[0]["alarm_id"], "alarm", IDLE + 20)
    took = time.monotonic() - at
    os.killpg(listener.pid, signal.SIGCONT)
    for row in cloud.rows("SELECT alarm_id FROM alarm"):
        cloud.wait_for_state(row["alarm_id"], "alarm")
        assert [t["kind"] for t in cloud.transitions(row["alarm_id"])] == ["raised"]
    figure(
        f"frozen listener on {cloud.database.dialect}: its alarm fired {took:.1f} s after the freeze, others "
        f"{others:.1f} s, with the start of a listener; idle_transaction_timeout is {IDLE:.0f} s"
    )


def test_a_stalled_link_keeps_no_locks(
    our_server_url: str, rabbit_url: str, spawn: Spawn, tmp_path: pathlib.Path
) -> None:
    """The server receives nothing from a listener that still runs, nor the listener from the server.

    When the link is back, that listener finds its session ended, and continues.
    """
    url = sa.make_url(our_server_url)
    assert url.port is not None
    relay = Relay(url.port)
    options = {"idle_transaction_timeout": IDLE, "lock_timeout": 1.0}
    (tmp_path / "near").mkdir()
    near = Cloud(spawn, tmp_path / "near", our_server_url, rabbit_url, eventalarm=options)
    through = url.set(port=relay.port).render_as_string(hide_password=False)
    far = Cloud(spawn, tmp_path, through, rabbit_url, eventalarm=options)
    try:
        listener = far.start_listener()
        alarm = near.create_alarm()
        with locked(near, alarm):
            far.publish(make_event())
            wait_for_waiter(near)
            relay.stall()
        other = near.start_listener()
        for _ in range(6):
            near.publish(make_event())
        near.wait_for_state(alarm, "alarm", IDLE + 20)
        other.kill()
        relay.resume()
        listener.wait_for_log("The database is back")
        later = near.create_alarm(instance="vm-2")
        near.publish(make_event("vm-2"))
        near.wait_for_state(later, "alarm")
        for one in (alarm, later):
            assert [t["kind"] for t in near.transitions(one)] == ["raised"]
    finally:
        relay.close()
        near.close()
        far.close()


def test_a_locked_row_delays_one_alarm_only(
    our_server_url: str, rabbit_url: str, spawn: Spawn, tmp_path: pathlib.Path, webhook_sink: WebhookSink
) -> None:
    """Before the fix the whole batch, and everything after it, was held until the row was free."""
    cloud = Cloud(spawn, tmp_path, our_server_url, rabbit_url, eventalarm={"lock_timeout": 1.0})
    actions: dict[str, Any] = {"ok_actions": [webhook_sink.url("/ok")]}
    alarms = [cloud.create_alarm([webhook_sink.url("/a")], instance=f"vm-{n}", **actions) for n in range(5)]
    listener = cloud.start_listener()
    with locked(cloud, alarms[2]):
        for number in range(5):
            cloud.publish(make_event(f"vm-{number}"))
        for alarm in alarms[:2] + alarms[3:]:
            cloud.wait_for_state(alarm, "alarm")
        listener.wait_for_log(f"Alarm {alarms[2]} is locked by another session")
        # Later events wait behind it, and do not affect others either.
        for number in range(5):
            cloud.publish(make_event(f"vm-{number}", "active"))
        for alarm in alarms[:2] + alarms[3:]:
            cloud.wait_for_state(alarm, "ok")
        assert not cloud.transitions(alarms[2])
    cloud.wait_for_state(alarms[2], "ok")
    listener.wait_for_log(f"Alarm {alarms[2]} is no longer locked")
    for alarm in alarms:
        assert [t["kind"] for t in cloud.transitions(alarm)] == ["raised", "cleared"]
    cloud.close()


def test_a_locked_row_delays_one_timer_only(
    our_server_url: str, rabbit_url: str, spawn: Spawn, tmp_path: pathlib.Path
) -> None:
    """Two alarms' timers are due in the same pass; fails when the first wait for a lock ends the pass."""
    cloud = Cloud(spawn, tmp_path, our_server_url, rabbit_url, eventalarm={"lock_timeout": 1.0})
    rule = {"event_type": "*", "query": [{"field": "traits.state", "value": "error"}], "clear_after": 2.0}
    timed: dict[str, Any] = {"type": "notification", "ok_actions": ["log://"]}
    alarms = sorted(
        cloud.create_alarm(event_rule={**rule, "resource_id": f"vm-{n}"}, **timed) for n in range(4)
    )
    listener = cloud.start_listener()
    cloud.publish(*(make_event(f"vm-{n}") for n in range(4)))
    for alarm in alarms:
        cloud.wait_for_state(alarm, "alarm")
    with locked(cloud, alarms[1]):
        for alarm in (alarms[0], *alarms[2:]):
            cloud.wait_for_state(alarm, "ok")
        listener.wait_for_log(f"Alarm {alarms[1]} is locked by another session")
        assert [t["kind"] for t in cloud.transitions(alarms[1])] == ["raised"]
    for alarm in alarms:
        cloud.wait_for_state(alarm, "ok")
        assert [t["kind"] for t in cloud.transitions(alarm)] == ["raised", "cleared"]
    cloud.close()


def test_a_locked_row_among_due_timers_delays_one_of_them(our_server_url: str) -> None:
    """Fails when a transaction for several due timers is given up as a whole for one locked alarm."""
    opened = connect(our_server_url, limits=SessionLimits(lock=1.0))
    listener = TimerListener(opened)
    rule = {"event_type": "*", "query": [{"field": "traits.state", "value": "error"}], "clear_after": 3600}
    alarms = [notification_alarm(opened, {**rule, "resource_id": f"vm-{n}"}) for n in range(4)]
    for n in range(4):
        listener.tell("error", f"vm-{n}")
    listener.runner.run_once()
    make_due(opened)
    due = TimerReader(opened).due(opened.now(), 10)

    def states() -> list[str]:
        return [read_alarm(opened, alarm)["state"] for alarm in alarms]

    with opened.engine.connect() as other, other.begin():
        other.execute(sa.text("SELECT 1 FROM alarm WHERE alarm_id = :id FOR UPDATE"), {"id": alarms[1]})
        # Arming, which would find the lock first, is left out.
        assert listener.runner._firing.settle(due) > 0
        assert states() == ["ok", "alarm", "ok", "ok"]
    listener.run_until(lambda: states() == ["ok"] * 4)
    opened.dispose()
