"""The WSGI application of the ingest API: its resources, their paths and the middleware."""

from __future__ import annotations

import pathlib
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import falcon
from oslo_config import cfg

from eventalarm import bus
from eventalarm.conf import GROUP, INGEST_GROUP
from eventalarm.evaluator.options import event_limits, rule_limits
from eventalarm.http import application as http_application
from eventalarm.http import openapi
from eventalarm.http.application import Api
from eventalarm.http.auth import Guard
from eventalarm.http.openapi import Schemas
from eventalarm.ingest import ingest_policies
from eventalarm.ingest.dryrun import DryRunOptions, RuleTest
from eventalarm.ingest.events import Events, Gateway, sender
from eventalarm.ingest.reading import Bounds, EventReader
from eventalarm.publisher.sending import BrokerStatus
from eventalarm.storage.database import Database

DOCUMENT: Final = "/v1/openapi.json"
DOCUMENT_FILE: Final = pathlib.Path(__file__).with_name("openapi.yaml")
PREFIXES: Final = ("/v1",)


class Once:
    """Opens the database with *make* on first use and keeps it; :meth:`close` disposes of it."""

    def __init__(self, make: Callable[[], Database]) -> None:
        self._make = make
        self._made: Database | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Database:
        """Return the database; after an error of *make*, which is raised, the next call tries again."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def close(self) -> None:
        """Dispose of the database if it was opened."""
        with self._lock:
            if self._made is not None:
                self._made.dispose()


def application(conf: cfg.ConfigOpts, transport: Any, database: Callable[[], Database]) -> Any:
    """Return the WSGI application behind the middleware that *conf* asks for; see :func:`build`."""
    app = build(conf, transport, database)
    return http_application.with_proxies(app, conf, conf[INGEST_GROUP].auth_mode)


def build(conf: cfg.ConfigOpts, transport: Any, database: Callable[[], Database]) -> falcon.App[Any, Any]:
    """Return the application alone, which trusts the identity headers that keystonemiddleware sets.

    :param transport: where events go (``bus.get_transport``).
    :param database: opens Aodh's database, for dry runs of alarms; called on first use.
    """
    group, ingest = conf[GROUP], conf[INGEST_GROUP]
    document = openapi.load(DOCUMENT_FILE)
    schemas = Schemas(document)
    bounds = Bounds(ingest.max_body_size, ingest.max_events, event_limits(group))
    reader = EventReader(schemas, bounds, group.resource_traits)
    status = BrokerStatus(f"{bus.describe(conf)} topic {group.topic}", time.monotonic)
    gateway = Gateway(sender(transport, group.topic, group.exchange), ingest.max_message_size, status)
    guard = Guard(conf, ingest_policies.list_rules())
    routes = {
        ingest_policies.EVENTS_PATH: Events(
            guard, reader, gateway, max_body=ingest.max_body_size, retry_after=ingest.retry_after
        ),
        ingest_policies.TEST_PATH: RuleTest(
            guard, schemas, reader, database=database, options=_dry_run_options(group, ingest)
        ),
    }
    return http_application.create(conf, Api(document, DOCUMENT, ingest.auth_mode), routes)


def _dry_run_options(group: Any, ingest: Any) -> DryRunOptions:
    return DryRunOptions(
        owner_traits=tuple(group.owner_traits),
        resource_traits=tuple(group.resource_traits),
        infrastructure_projects=tuple(group.infrastructure_projects),
        clear_mode=group.clear_event_alarms,
        rule=rule_limits(group),
        event=event_limits(group),
        max_body=ingest.max_body_size,
    )
