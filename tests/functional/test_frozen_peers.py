"""Nobody stops anybody else: a row that stays locked costs its alarm only."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import sqlalchemy as sa

from tests.functional.cloud import Cloud, Spawn, make_event
from tests.functional.helpers import WebhookSink


@contextlib.contextmanager
def locked(cloud: Cloud, *alarms: str) -> Iterator[None]:
    """Keep the rows of *alarms* locked, as somebody does who is no part of eventalarm."""
    engine = sa.create_engine(cloud.database_url, poolclass=sa.NullPool)
    query = sa.text("SELECT alarm_id FROM alarm WHERE alarm_id IN :ids FOR UPDATE")
    with engine.begin() as connection:
        connection.execute(query.bindparams(sa.bindparam("ids", expanding=True)), {"ids": list(alarms)})
        yield


def test_a_locked_row_costs_one_alarm(
    our_server_url: str, rabbit_url: str, spawn: Spawn, tmp_path: pathlib.Path, webhook_sink: WebhookSink
) -> None:
    """Seen red: the whole batch was held, and all that came after it, until the row was free."""
    cloud = Cloud(spawn, tmp_path, our_server_url, rabbit_url, eventalarm={"lock_timeout": 1.0})
    actions = {"ok_actions": [webhook_sink.url("/ok")]}
    alarms = [cloud.create_alarm([webhook_sink.url("/a")], instance=f"vm-{n}", **actions) for n in range(5)]
    listener = cloud.start_listener()
    with locked(cloud, alarms[2]):
        for number in range(5):
            cloud.publish(make_event(f"vm-{number}"))
        for alarm in alarms[:2] + alarms[3:]:
            cloud.wait_for_state(alarm, "alarm")
        listener.wait_for_log(f"Alarm {alarms[2]} is locked by another session")
        # What comes later waits behind it, and hurts nobody else either.
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
