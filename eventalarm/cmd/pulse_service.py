"""``eventalarm-pulse`` without a subcommand: the service, wired from the options."""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import prometheus_client
from oslo_config import cfg

from eventalarm import systemd
from eventalarm.app.waiting import wait_for_broker, wait_for_database
from eventalarm.cmd.command import Command
from eventalarm.conf import GROUP, PULSE_GROUP
from eventalarm.exceptions import InvalidOption
from eventalarm.guru_report import report_on_signal
from eventalarm.metrics import Metrics
from eventalarm.metrics_server import check_free
from eventalarm.operational.build import EventSender
from eventalarm.pulse import connection, installed
from eventalarm.pulse.checks import CheckContext
from eventalarm.pulse.hold_down import Patience
from eventalarm.pulse.runner import Runner
from eventalarm.pulse.service import LEASE, LEASE_NAME, PulseService, Recorder
from eventalarm.storage.database import Database
from eventalarm.storage.leases import LeaderLease
from eventalarm.storage.pulse import PulseStore

DESCRIPTION = EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The service has no arguments of its own."""


def main(command: Command, conf_arguments: Sequence[str], chosen: argparse.Namespace) -> int:
    """Run until a signal stops it; return 0."""
    conf = command.configure(conf_arguments)
    with command.errors():
        _run(command, conf)
    return 0


def _run(command: Command, conf: cfg.ConfigOpts) -> None:
    report_on_signal(conf, command.prog)
    notifier = systemd.Notifier.from_environment()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with contextlib.ExitStack() as stack:
        try:
            if _start(conf, stopping, stack):
                notifier.send(systemd.READY)
                stopping.wait()
        finally:
            notifier.send(systemd.STOPPING)


def _start(conf: cfg.ConfigOpts, stopping: threading.Event, stack: contextlib.ExitStack) -> bool:
    """Start the service once the database and the broker can be used; return False if stopped before."""
    group, metrics = conf[PULSE_GROUP], Metrics()
    pace = intervals(group)
    checks = installed.make(group.checks, operator_context(conf))
    _serve_metrics(group, metrics, stack)
    database = wait_for_database(conf, stopping)
    if database is None:
        return False
    stack.callback(database.dispose)
    if not wait_for_broker(conf, stopping):
        return False
    sender = EventSender(conf)
    stack.callback(sender.close)
    service = PulseService(
        [(name, check, pace.get(name, group.interval)) for name, check in checks.items()],
        Runner(group.workers, group.timeout),
        recorder(conf, database, sender),
        LeaderLease(database, LEASE_NAME, str(uuid.uuid4()), LEASE, max_skew=conf[GROUP].max_clock_skew),
        metrics,
        chance=random.Random(),  # noqa: S311 - spreads the load
    )
    service.start()
    stack.callback(service.stop)
    return True


def operator_context(conf: cfg.ConfigOpts) -> CheckContext:
    """Return what the checks use, with the configured credentials."""
    group = conf[PULSE_GROUP]
    return CheckContext(group, connection.Once(lambda: connection.connect(conf)), group.timeout)


def recorder(conf: cfg.ConfigOpts, database: Database, sender: EventSender) -> Recorder:
    """Return what writes findings and publishes their events."""
    group = conf[PULSE_GROUP]
    patience = Patience(group.failures, group.successes)
    return Recorder(PulseStore(database), sender.send, database.about_now, patience)


def intervals(group: Any) -> Mapping[str, float]:
    """Return the intervals of single checks in seconds.

    :raises InvalidOption: when one is not a number, or its check is not run.
    """
    found = {}
    option = f"[{PULSE_GROUP}] intervals"
    for name, value in group.intervals.items():
        if name not in group.checks:
            raise InvalidOption(option, f"{name!r} is not among checks", "add it there, or remove it here")
        try:
            found[name] = float(value)
        except ValueError as exc:
            raise InvalidOption(option, f"{name}: {value!r} is no number", "write NAME:SECONDS") from exc
        if found[name] < 0.1:
            raise InvalidOption(option, f"{name}: {value} is too short", "write at least 0.1")
    return found


def _serve_metrics(group: Any, metrics: Metrics, stack: contextlib.ExitStack) -> None:
    if group.metrics_port:
        check_free(group.metrics_host, group.metrics_port, PULSE_GROUP)
        server, _ = prometheus_client.start_http_server(
            group.metrics_port, group.metrics_host, metrics.registry
        )
        stack.callback(server.shutdown)
