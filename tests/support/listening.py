"""The part of a listener that serves subscribers, on a real database and with real sockets."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.delivery.options import DeliveryOptions, tls_options
from eventalarm.delivery.senders.base import Router
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.delivery.worker import DeliveryWorker
from eventalarm.ifa_shim.subscriptions.build import Notifications
from eventalarm.ifa_shim.subscriptions.service import Notifier
from eventalarm.storage.database import Database
from eventalarm.storage.outbox import Outbox
from tests.support.engine_harness import EngineHarness
from tests.support.helpers import wait_until

QUICK = DeliveryOptions(
    lease=2.0, poll_interval=0.05, retry_initial=0.02, retry_max=0.05, max_attempts=4, total_timeout=5.0
)


class Listening:
    """One listener: ``engine`` takes events, ``notifier`` is run by the test unless it is started."""

    def __init__(self, conf: Any, database: Database, settings: DeliveryOptions = QUICK) -> None:
        settings = dataclasses.replace(settings, tls=tls_options(conf))
        self.notifications = Notifications(conf, database)
        self.worker = DeliveryWorker(
            Outbox(database),
            Router({}, HttpSender(settings), self.notifications.sender(settings)),
            settings,
            host="test",
        )
        self.worker.start()
        wait_until(lambda: self.worker.owner)
        enqueuer = OutboxEnqueuer(
            Outbox(database), self.worker, announce=self.notifications.publisher.announce
        )
        self.engine = EngineHarness(database, enqueuer=enqueuer)
        self.notifier: Notifier = self.notifications.notifier(self.worker)

    def process(self, *events: dict[str, Any]) -> None:
        """Evaluate events as one batch."""
        assert not self.engine.process(*events).reasons["refused"]

    def close(self) -> None:
        self.worker.stop(1.0)


@contextlib.contextmanager
def listening(conf: Any, database: Database, **how: Any) -> Iterator[Listening]:
    """Run a listener during the block."""
    running = Listening(conf, database, **how)
    try:
        yield running
    finally:
        running.close()
