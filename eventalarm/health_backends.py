"""The backends of ``/healthcheck``: plugins of oslo.middleware that check the database and the broker.

They read the configuration with which the service was started, and connect at the first check.
"""

from __future__ import annotations

from typing import Any

from oslo_config import cfg
from oslo_middleware.healthcheck import pluginbase

from eventalarm import conf as options
from eventalarm import service
from eventalarm.broker import Broker, QueueWatch
from eventalarm.conf import GROUP
from eventalarm.health import BoundedCheck
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


class DatabaseBackend(pluginbase.HealthcheckBaseExtension):
    """``eventalarm_database``: the database answers within ``[eventalarm] health_timeout``."""

    def __init__(self, oslo_conf: cfg.ConfigOpts, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        self._bounded = BoundedCheck("database", DatabaseCheck(oslo_conf), _timeout(oslo_conf))

    def healthcheck(self, server_port: int) -> Any:
        """Return the result of the check."""
        return _result("database", self._bounded.problem())


class BrokerBackend(pluginbase.HealthcheckBaseExtension):
    """``eventalarm_broker``: the broker of events answers within ``[eventalarm] health_timeout``."""

    def __init__(self, oslo_conf: cfg.ConfigOpts, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        timeout = _timeout(oslo_conf)
        self._bounded = BoundedCheck("broker", BrokerCheck(oslo_conf, timeout), timeout)

    def healthcheck(self, server_port: int) -> Any:
        """Return the result of the check."""
        return _result("broker", self._bounded.problem())


def _timeout(conf: cfg.ConfigOpts) -> float:
    # Another service, such as Aodh's API, may name these backends in its [healthcheck] too.
    options.register_opts(conf)
    timeout: float = conf[GROUP].health_timeout
    return timeout


def _result(what: str, problem: str) -> Any:
    """Return the result of oslo.middleware; *problem* is shown with ``[healthcheck] detailed`` only."""
    reason = f"the {what} does not answer" if problem else f"the {what} answers"
    return pluginbase.HealthcheckResult(not problem, reason, problem)
