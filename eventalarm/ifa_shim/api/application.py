"""The WSGI application: resources at their paths, the layers around them."""

from __future__ import annotations

from typing import Any, Final

import falcon
from oslo_middleware import http_proxy_to_wsgi

from eventalarm.conf import IFA_GROUP
from eventalarm.http.parameters import KnownParameters
from eventalarm.http.requests import Conformance, Request, add_route
from eventalarm.ifa_shim import options
from eventalarm.ifa_shim.alarm_service import AlarmService
from eventalarm.ifa_shim.api import problems, ui
from eventalarm.ifa_shim.api.bodies import MAX_BODY, MAX_QUERY
from eventalarm.ifa_shim.api.callers import Guard, Identity
from eventalarm.ifa_shim.api.document import ApiDocument, DocumentResource, load
from eventalarm.ifa_shim.api.edge import Edge
from eventalarm.ifa_shim.api.ifa import IfaAlarms, IfaHistory, OneIfaAlarm
from eventalarm.ifa_shim.api.links import Links
from eventalarm.ifa_shim.api.subscriptions import FaultSubscription, FaultSubscriptions
from eventalarm.ifa_shim.api.vnffm import ApiVersions, FaultAlarm, FaultAlarms, Versions
from eventalarm.storage.database import Database
from eventalarm.storage.subscriptions import Subscriptions

DOCUMENT: Final = "/openapi.json"
API_VERSIONS: Final = ("/vnffm/api_versions", "/vnffm/v1/api_versions")
PUBLIC: Final = frozenset({DOCUMENT, *API_VERSIONS, *ui.PATHS})
PREFIXES: Final = ("/ifa", "/vnffm", DOCUMENT, ui.PATH)
KEYSTONE: Final = "keystone"


def application(conf: Any, database: Database) -> Any:
    """Return the WSGI application on *database*, with everything that *conf* asks for around it.

    :raises InvalidOption: when an option cannot be read.
    """
    app: Any = build(conf, database)
    if conf[IFA_GROUP].auth_mode == KEYSTONE:
        # Imported here: it brings Keystone's client, which those who do without Keystone need not have.
        from keystonemiddleware import auth_token  # noqa: PLC0415

        wrap = auth_token.filter_factory({"oslo_config_config": conf, "delay_auth_decision": True})
        app = wrap(app)
    return http_proxy_to_wsgi.HTTPProxyToWSGI(app, conf)


def build(conf: Any, database: Database) -> falcon.App[Any, Any]:
    """Return the application alone: it believes the headers that Keystone's middleware sets.

    :raises InvalidOption: when an option cannot be read.
    """
    settings = options.settings(conf)
    api = options.api_options(conf)
    edge = Edge(
        alarms=AlarmService(database, settings, database.about_now),
        guard=Guard.from_conf(conf),
        links=Links(api.public_url),
        document=ApiDocument(load()),
        options=api,
        now=database.about_now,
    )
    layers: Any = [
        Conformance(MAX_QUERY, MAX_BODY),
        Identity(
            keystone=conf[IFA_GROUP].auth_mode == KEYSTONE,
            auth_uri=lambda: conf.keystone_authtoken.www_authenticate_uri or "",
            public=PUBLIC,
        ),
        Versions(api.require_version),
        KnownParameters(load()),
    ]
    app: falcon.App[Any, Any] = falcon.App(request_type=Request, middleware=layers)
    app.req_options.strip_url_path_trailing_slash = True
    problems.install(app)
    subscriptions = FaultSubscriptions(Subscriptions(database), edge)
    for path, resource in _routes(edge, subscriptions, conf[IFA_GROUP].auth_mode).items():
        add_route(app, path, resource)
    return app


def _routes(edge: Edge, subscriptions: FaultSubscriptions, auth_mode: str) -> dict[str, object]:
    return {
        DOCUMENT: DocumentResource(edge.document),
        "/ifa/v1/alarms": IfaAlarms(edge),
        "/ifa/v1/alarms/{alarm_id}": OneIfaAlarm(edge),
        "/ifa/v1/alarms/{alarm_id}/history": IfaHistory(edge),
        "/vnffm/v1/alarms": FaultAlarms(edge),
        "/vnffm/v1/alarms/{alarm_id}": FaultAlarm(edge),
        "/vnffm/v1/subscriptions": subscriptions,
        "/vnffm/v1/subscriptions/{subscription_id}": FaultSubscription(subscriptions),
        **dict.fromkeys(API_VERSIONS, ApiVersions(edge.links)),
        ui.PATH: ui.Page(edge.options.public_url, auth_mode),
        **{f"{ui.PATH}/{name}": ui.Asset(name) for name in ui.FILES},
    }
