"""The WSGI application of the ingest API: resources at their paths, the layers around them."""

from __future__ import annotations

import pathlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import falcon
import yaml
from oslo_middleware import http_proxy_to_wsgi
from oslo_policy import policy

from eventalarm import bus
from eventalarm.conf import GROUP, INGEST_GROUP
from eventalarm.evaluator.options import event_limits, rule_limits
from eventalarm.http.parameters import KnownParameters
from eventalarm.http.requests import Conformance, Request, add_route
from eventalarm.ifa_shim.api import problems
from eventalarm.ifa_shim.api.callers import Guard, Identity
from eventalarm.ifa_shim.api.document import ApiDocument, DocumentResource
from eventalarm.ingest import faults, policies
from eventalarm.ingest.dryrun import DryRunOptions, RuleTest
from eventalarm.ingest.events import Events
from eventalarm.ingest.gateway import Gateway, sender
from eventalarm.ingest.reading import Bounds, EventReader
from eventalarm.publisher.broker_status import BrokerStatus
from eventalarm.storage.database import Database

DOCUMENT: Final = "/v1/openapi.json"
MAX_QUERY: Final = 8 * 1024
PREFIXES: Final = ("/v1",)
KEYSTONE: Final = "keystone"
FILE: Final = pathlib.Path(__file__).with_name("openapi.yaml")


class Once:
    """Calls *make* when its value is first asked for, and keeps the value; closes it in the end."""

    def __init__(self, make: Callable[[], Database]) -> None:
        self._make = make
        self._made: Database | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Database:
        """Return the value; what *make* raises is raised, and it is asked again the next time."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def close(self) -> None:
        """Let go of the value, if there is one."""
        with self._lock:
            if self._made is not None:
                self._made.dispose()


def load() -> Mapping[str, Any]:
    """Return the OpenAPI document."""
    loaded: Mapping[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return loaded


def application(conf: Any, transport: Any, database: Callable[[], Database]) -> Any:
    """Return the WSGI application with everything that *conf* asks for around it; see :func:`build`."""
    app: Any = build(conf, transport, database)
    if conf[INGEST_GROUP].auth_mode == KEYSTONE:
        # Imported here: it brings Keystone's client, which those who do without Keystone need not have.
        from keystonemiddleware import auth_token  # noqa: PLC0415

        wrap = auth_token.filter_factory({"oslo_config_config": conf, "delay_auth_decision": True})
        app = wrap(app)
    return http_proxy_to_wsgi.HTTPProxyToWSGI(app, conf)


def build(conf: Any, transport: Any, database: Callable[[], Database]) -> falcon.App[Any, Any]:
    """Return the application alone: it believes the headers that Keystone's middleware sets.

    :param transport: where events go (``bus.get_transport``).
    :param database: opens Aodh's database, for dry runs of alarms; called when it is first needed.
    """
    group, own = conf[GROUP], conf[INGEST_GROUP]
    document = load()
    shapes = faults.Shapes(document)
    bounds = Bounds(own.max_body_size, own.max_events, event_limits(group))
    reader = EventReader(shapes, bounds, group.resource_traits)
    status = BrokerStatus(f"{bus.describe(conf)} topic {group.topic}", time.monotonic)
    gateway = Gateway(sender(transport, group.topic, group.exchange), own.max_message_size, status)
    enforcer = policy.Enforcer(conf)
    enforcer.register_defaults(policies.list_rules())
    guard = Guard(enforcer)
    identity: Any = Identity(
        keystone=own.auth_mode == KEYSTONE,
        auth_uri=lambda: conf.keystone_authtoken.www_authenticate_uri or "",
        public=frozenset({DOCUMENT}),
    )
    layers: Any = [Conformance(MAX_QUERY), identity, KnownParameters(document)]
    app: falcon.App[Any, Any] = falcon.App(request_type=Request, middleware=layers)
    app.req_options.strip_url_path_trailing_slash = True
    problems.install(app)
    app.set_error_serializer(faults.serialize)
    events = Events(guard, reader, gateway, max_body=own.max_body_size, retry_after=own.retry_after)
    add_route(app, policies.EVENTS_PATH, events)
    options = _dry_run_options(group, own)
    test = RuleTest(guard, shapes, reader, database=database, options=options)
    add_route(app, policies.TEST_PATH, test)
    add_route(app, DOCUMENT, DocumentResource(ApiDocument(document)))
    return app


def _dry_run_options(group: Any, own: Any) -> DryRunOptions:
    return DryRunOptions(
        owner_traits=tuple(group.owner_traits),
        resource_traits=tuple(group.resource_traits),
        infrastructure_projects=tuple(group.infrastructure_projects),
        clear_mode=group.clear_event_alarms,
        rule=rule_limits(group),
        event=event_limits(group),
        max_body=own.max_body_size,
    )
