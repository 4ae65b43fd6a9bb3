"""Waits at the start of a listener until the database and the broker can be used."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from oslo_config import cfg

from eventalarm import broker, bus, service
from eventalarm import conf as options
from eventalarm.backoff import Backoff
from eventalarm.exceptions import Retryable, SchemaError
from eventalarm.storage import schema, stats
from eventalarm.storage.database import Database

LOG = logging.getLogger(__name__)

# Seconds that one attempt to use the broker may take.
BROKER_TIMEOUT: Final = 10.0

T = TypeVar("T")


class _NotReady(Exception):
    """The database or the broker cannot be used yet; the message states the reason."""


def wait_for_database(conf: cfg.ConfigOpts, stopping: threading.Event) -> Database | None:
    """Return the database once it is writable and has the current schema; None if *stopping* was set first.

    Logs each reason for waiting once, at WARNING.

    :raises InvalidOption: when the configured URL can never work.
    """
    return _wait("database", "", lambda: _usable_database(conf), conf, stopping)


def wait_for_broker(conf: cfg.ConfigOpts, stopping: threading.Event) -> bool:
    """Return True once the broker accepts a consumer of the event queue; False if *stopping* was set first.

    Logs each reason for waiting once, at WARNING.
    """
    return _wait("broker", f" {bus.describe(conf)}", lambda: _usable_broker(conf), conf, stopping) is not None


def _wait(
    what: str, name: str, attempt: Callable[[], T], conf: cfg.ConfigOpts, stopping: threading.Event
) -> T | None:
    """Repeat *attempt* until it returns; None if *stopping* was set first."""
    group = conf[options.GROUP]
    backoff = Backoff(group.retry_initial, group.retry_max)
    failures, reported = 0, ""
    while True:
        try:
            result = attempt()
        except _NotReady as exc:
            reason = str(exc)
        else:
            if reported:
                LOG.warning("The %s is ready", what)
            return result
        if reason != reported:
            LOG.warning("Waiting for the %s%s: %s", what, name, reason)
            reported = reason
        failures += 1
        if stopping.wait(backoff(failures)):
            return None


def _usable_database(conf: cfg.ConfigOpts) -> Database:
    try:
        database = service.database(conf, pipelines=True)
        status = schema.check(database)
        found = stats.read_server(database)
    except (Retryable, SchemaError) as exc:
        raise _NotReady(str(exc)) from exc
    if found.standby or found.read_only:
        problem = f"it is {'a standby' if found.standby else 'read-only'}; nothing can be written"
    elif not status.usable:
        problem = status.message
    else:
        return database
    database.dispose()
    raise _NotReady(problem)


def _usable_broker(conf: cfg.ConfigOpts) -> bool:
    try:
        broker.check(conf, BROKER_TIMEOUT)
    except broker.Unusable as exc:
        raise _NotReady(str(exc)) from exc
    return True
