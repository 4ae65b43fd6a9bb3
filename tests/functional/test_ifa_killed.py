"""A killed listener and its subscribers: real processes, a real RabbitMQ and MariaDB."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from eventalarm.storage import database as storage
from tests.support.cloud import PROJECT, Cloud, Spawn, make_event
from tests.support.helpers import WebhookSink, wait_until
from tests.support.ifa_api import IfaApi
from tests.support.subscribers import SUBSCRIPTIONS

QUICK = {"lease": 2.0, "poll_interval": 0.2, "retry_initial": 0.1, "retry_max": 1.0}
SERVERS = 10


@pytest.fixture
def cloud(spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str) -> Iterator[Cloud]:
    url = rabbit_url + "?rabbit_quorum_queue=true"
    one = Cloud(
        spawn,
        tmp_path,
        our_mariadb_url,
        url,
        eventalarm_delivery=QUICK,
        eventalarm_ifa={"callback_deny_networks": ""},
    )
    yield one
    one.close()


def test_a_killed_listener_loses_no_notification(
    cloud: Cloud, webhook_sink: WebhookSink, our_mariadb_url: str
) -> None:
    """Each alarm is notified once; what was being sent at the kill is repeated with the same id."""
    webhook_sink.behave("/nfvo", statuses=[204])
    database = storage.connect(our_mariadb_url)
    api = IfaApi(database)
    answer = api.call("POST", SUBSCRIPTIONS, project=PROJECT, body={"callbackUri": webhook_sink.url("/nfvo")})
    assert answer.status_code == 201, answer.text
    alarms = [cloud.create_alarm(instance=f"vm-{number}") for number in range(SERVERS)]
    release = webhook_sink.hang("/nfvo")
    dying = cloud.start_listener()
    for number in range(SERVERS):
        cloud.publish(make_event(f"vm-{number}"))
    already = len(webhook_sink.at("/nfvo"))
    webhook_sink.wait(already + 1, "/nfvo")
    dying.kill()
    release()
    cloud.start_listener()
    wait_until(lambda: all(cloud.transitions(alarm) for alarm in alarms), 60, "a transition of every alarm")
    cloud.settle()
    notifications = [one.json for one in webhook_sink.at("/nfvo") if one.method == "POST"]
    assert {one["alarm"]["id"] for one in notifications} == set(alarms)
    assert len({one["id"] for one in notifications}) == SERVERS
    database.dispose()
