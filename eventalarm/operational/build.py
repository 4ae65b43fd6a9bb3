"""Builds the reporter of operational events of one process from the options."""

from __future__ import annotations

import uuid
from typing import Any

from oslo_config import cfg

from eventalarm import bus
from eventalarm.conf import GROUP
from eventalarm.model import JSONDict
from eventalarm.operational.reporter import LEASE, LEASE_NAME, OperationalReporter
from eventalarm.publisher.partitions import Partitioning
from eventalarm.storage.database import Database
from eventalarm.storage.leases import LeaderLease
from eventalarm.storage.operational_events import OperationalEvents


class EventSender:
    """Sends events to the topics of the listeners, over a transport that is opened on first use."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._transport: Any = None

    def send(self, events: list[JSONDict]) -> None:
        """Send *events*; return once the broker has confirmed them.

        :raises PublishError: when it has not.
        """
        if self._transport is None:
            self._transport = bus.get_transport(self._conf)
        send = bus.events_sender(
            self._transport,
            split=Partitioning.configured(self._conf).split,
            exchange=self._conf[GROUP].exchange,
            publisher_id="eventalarm.operational",
        )
        send(events)

    def close(self) -> None:
        """Close the transport if it was opened."""
        if self._transport is not None:
            self._transport.cleanup()


def build_reporter(conf: cfg.ConfigOpts, database: Database, sender: EventSender) -> OperationalReporter:
    """Return the reporter, not yet started."""
    skew = conf[GROUP].max_clock_skew
    lease = LeaderLease(database, LEASE_NAME, str(uuid.uuid4()), LEASE, max_skew=skew)
    return OperationalReporter(OperationalEvents(database), lease, sender.send, database.about_now)
