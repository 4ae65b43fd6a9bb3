"""The processes of eventalarm-listener under cotyledon: the listeners and the metrics endpoint."""

from __future__ import annotations

import contextlib
import gc
import logging
import pathlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import cotyledon
from oslo_config import cfg

from eventalarm import bus, service, systemd
from eventalarm import conf as options
from eventalarm.app import partitions
from eventalarm.app.process import ListenerProcess
from eventalarm.app.worker_states import WorkerStates
from eventalarm.database_url import database_url
from eventalarm.delivery import options as delivery_options
from eventalarm.health import BoundedCheck
from eventalarm.health_checks import DatabaseCheck
from eventalarm.metrics_server import Endpoint, check_free, shared_folder

if TYPE_CHECKING:
    import cotyledon.types

LOG = logging.getLogger(__name__)

SWITCH_INTERVAL = 0.0005


def check_options(conf: cfg.ConfigOpts) -> None:
    """Check the options that can be checked before anything is started.

    :raises InvalidOption: naming the option and the remedy.
    """
    database_url(conf)
    delivery_options.from_conf(conf)
    bus.get_transport(conf).cleanup()
    partitions.check(conf)


class ListenerService(cotyledon.Service):
    """One listener process under cotyledon, which reports to systemd."""

    name = "eventalarm-listener"

    def __init__(
        self,
        worker_id: cotyledon.types.WorkerId,
        conf: cfg.ConfigOpts,
        notifier: systemd.Notifier,
        heartbeats: systemd.Heartbeats,
        states: WorkerStates,
    ) -> None:
        super().__init__(worker_id)
        heartbeats.begin(worker_id)
        states.begin(worker_id)

        def progressing() -> None:
            heartbeats.beat(worker_id)
            states.report(worker_id, self._process.lacks())

        self._process = ListenerProcess(
            conf,
            own_process=True,
            ready=lambda: notifier.send(systemd.READY),
            progressing=progressing,
        )

    def run(self) -> None:
        """Start the listener; called by cotyledon in the new process."""
        self._process.start()
        # Modules and options are permanent; exempt them from further garbage collections.
        gc.collect()
        gc.freeze()
        # Loading a project in the background never blocks on I/O. A short interval gives the interpreter back
        # soon to threads that waited for the database or a webhook, about ten times per event.
        sys.setswitchinterval(SWITCH_INTERVAL)

    def terminate(self) -> None:
        """Stop on SIGTERM."""
        self._process.stop()


class EndpointService(cotyledon.Service):
    """The Prometheus endpoint and the health checks under cotyledon, in a separate process."""

    name = "eventalarm-metrics"

    def __init__(
        self,
        worker_id: cotyledon.types.WorkerId,
        conf: cfg.ConfigOpts,
        folder: pathlib.Path,
        states: WorkerStates,
    ) -> None:
        super().__init__(worker_id)
        group = conf[options.GROUP]
        self._endpoint = Endpoint(
            folder,
            group.metrics_host,
            group.metrics_port,
            lambda: service.database(conf),
            group.metrics_outbox_interval,
            pages=_health_pages(conf, states),
        )

    def run(self) -> None:
        """Start serving; called by cotyledon in the new process."""
        self._endpoint.start()

    def terminate(self) -> None:
        """Stop on SIGTERM."""
        self._endpoint.stop()


def _health_pages(conf: cfg.ConfigOpts, states: WorkerStates) -> dict[str, Callable[[], str]]:
    """Return by path what returns an empty string if the listener is healthy, else why not."""
    database = BoundedCheck("database", DatabaseCheck(conf), conf[options.GROUP].health_timeout)

    def unready() -> str:
        return "; ".join(
            filter(None, (states.unable(), database.problem() and "the database does not answer"))
        )

    return {"/healthz": states.stalled, "/readyz": unready}


def run_listener(conf: cfg.ConfigOpts) -> None:
    """Run ``[eventalarm] workers`` listener processes and their metrics endpoint until SIGTERM.

    systemd is notified when the first process consumes, then while none is stalled, and when all stop.

    :raises InvalidOption: when the port of the endpoint cannot be bound.
    """
    group = conf[options.GROUP]
    notifier = systemd.Notifier.from_environment()
    heartbeats = systemd.Heartbeats(notifier, group.workers, group.watchdog_warn)
    states = WorkerStates(group.workers, group.watchdog_warn)
    with contextlib.ExitStack() as stack:
        folder = None
        if group.metrics_port:
            check_free(group.metrics_host, group.metrics_port, options.GROUP)
            folder = stack.enter_context(shared_folder())
        manager = cotyledon.ServiceManager()
        manager.add(ListenerService, workers=group.workers, args=(conf, notifier, heartbeats, states))
        manager.register_hooks(on_terminate=lambda: notifier.send(systemd.STOPPING))
        if folder is not None:
            manager.add(EndpointService, workers=1, args=(conf, folder, states))
        manager.run()
