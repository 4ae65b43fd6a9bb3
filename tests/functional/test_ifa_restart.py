"""After the listeners were away, subscribers are notified once of what changed meanwhile, without a burst."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventalarm.model import ALARM, OK
from eventalarm.storage import database as storage
from tests.support.helpers import WebhookSink
from tests.support.listening import listening
from tests.support.subscribers import (
    ALARM_NOTIFICATION,
    CLEARED_NOTIFICATION,
    THRESHOLD,
    World,
    bound,
    fault,
    threshold,
)

STANDING = 20


@pytest.fixture
def world(our_sqlite_url: str, webhook_sink: WebhookSink) -> Iterator[World]:
    opened = storage.connect(our_sqlite_url)
    yield World(opened, webhook_sink)
    opened.dispose()


def test_26_a_restart_notifies_what_changed_and_nothing_twice(world: World) -> None:
    world.subscribe("/nfvo")
    for name in ("cpu", "disk"):
        world.api.alarm(THRESHOLD | {"resource_id": name}, name, type="gnocchi_resources_threshold")
    with listening(world.api.conf, world.database) as world.listener:
        for number in range(STANDING):
            world.api.alarm(bound(f"vm-{number}"))
        world.listener.process(*(fault(f"vm-{number}") for number in range(STANDING)))
        threshold(world, "cpu", ALARM)
        world.run_once()
        world.received("/nfvo", STANDING + 1)
        world.quiet()
        world.listener.notifier.stop()
    threshold(world, "cpu", OK)
    threshold(world, "disk", ALARM)
    with listening(world.api.conf, world.database) as world.listener:
        world.run_once()
        news = world.received("/nfvo", STANDING + 3)[STANDING + 1 :]
        world.run_once()
        world.quiet()
    assert sorted(one["notificationType"] for one in news) == [CLEARED_NOTIFICATION, ALARM_NOTIFICATION]
    notified = {one.get("alarmId") or one["alarm"]["id"] for one in news}
    assert notified == {"cpu", "disk"}
    assert len(world.posts("/nfvo")) == STANDING + 3
