"""The backends of ``/healthcheck``: plugins of oslo.middleware that check the database and the broker."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg
from oslo_middleware.healthcheck import pluginbase

from eventalarm import conf as options
from eventalarm.conf import GROUP
from eventalarm.health import BoundedCheck
from eventalarm.health_checks import BrokerCheck, DatabaseCheck


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
