"""Checks of the database and the broker that a service is configured with, for its health checks.

They read the configuration with which the service was started, and connect at the first check.
"""

from __future__ import annotations

from oslo_config import cfg

from eventalarm import service
from eventalarm.broker import Broker, QueueWatch
from eventalarm.conf import GROUP
from eventalarm.storage.database import Database


class DatabaseCheck:
    """Asks the database for the time, over a connection of its own; called by one thread at a time."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._database: Database | None = None

    def __call__(self) -> None:
        """Return if the database answers.

        :raises eventalarm.exceptions.EventAlarmError: when it does not, or cannot be opened.
        """
        database = self._database = self._database or service.database(self._conf)
        try:
            database.now()
        finally:
            database.leave()


class BrokerCheck:
    """Looks at the event queue, over a connection that it keeps; called by one thread at a time.

    A broker other than RabbitMQ is not checked.
    """

    def __init__(self, conf: cfg.ConfigOpts, timeout: float) -> None:
        self._conf = conf
        self._timeout = timeout
        self._watch: QueueWatch | None = None

    def __call__(self) -> None:
        """Return if the broker answers.

        :raises eventalarm.broker.Unusable: when it does not.
        """
        if self._watch is None:
            try:
                self._watch = QueueWatch(Broker.of(self._conf, self._timeout))
            except ValueError:
                return
        self._watch.look(self._conf[GROUP].topic)
