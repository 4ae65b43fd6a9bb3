"""The WSGI application of the IFA API: its resources, their paths and the middleware."""

from __future__ import annotations

import pathlib
from typing import Any, Final

import falcon

from eventalarm.conf import IFA_GROUP
from eventalarm.http import application as http_application
from eventalarm.http import openapi
from eventalarm.http.auth import Guard, Identity
from eventalarm.http.openapi import DocumentResource, KnownParameters, Schemas
from eventalarm.http.paging import BadMarker, Links
from eventalarm.http.requests import Conformance
from eventalarm.ifa_shim import ifa_policies, options
from eventalarm.ifa_shim.alarm_service import AlarmService
from eventalarm.ifa_shim.api import ui
from eventalarm.ifa_shim.api.context import ApiContext
from eventalarm.ifa_shim.api.ifa import IfaAlarms, IfaHistory, OneIfaAlarm
from eventalarm.ifa_shim.api.subscriptions import FaultSubscription, FaultSubscriptions
from eventalarm.ifa_shim.api.vnffm import MAX_BODY, ApiVersions, FaultAlarm, FaultAlarms, Versions
from eventalarm.ifa_shim.filters import BadFilter
from eventalarm.storage.database import Database
from eventalarm.storage.subscriptions import Subscriptions

DOCUMENT: Final = "/openapi.json"
DOCUMENT_FILE: Final = pathlib.Path(__file__).with_name("openapi.yaml")
MAX_QUERY: Final = 8 * 1024
API_VERSIONS: Final = ("/vnffm/api_versions", "/vnffm/v1/api_versions")
PUBLIC: Final = frozenset({DOCUMENT, *API_VERSIONS, *ui.PATHS})
PREFIXES: Final = ("/ifa", "/vnffm", DOCUMENT, ui.PATH)


def application(conf: Any, database: Database) -> Any:
    """Return the WSGI application on *database*, behind the middleware that *conf* asks for.

    :raises InvalidOption: when an option is invalid.
    """
    return http_application.with_proxies(build(conf, database), conf, conf[IFA_GROUP].auth_mode)


def build(conf: Any, database: Database) -> falcon.App[Any, Any]:
    """Return the application alone, which trusts the identity headers that keystonemiddleware sets.

    :raises InvalidOption: when an option is invalid.
    """
    settings = options.settings(conf)
    api = options.api_options(conf)
    auth_mode = conf[IFA_GROUP].auth_mode
    document = openapi.load(DOCUMENT_FILE)
    context = ApiContext(
        alarms=AlarmService(database, settings, database.about_now),
        guard=Guard(conf, ifa_policies.list_rules()),
        links=Links(api.public_url),
        schemas=Schemas(document),
        options=api,
        now=database.about_now,
    )
    middleware = [
        Conformance(MAX_QUERY, MAX_BODY),
        Identity(conf, auth_mode=auth_mode, public=PUBLIC),
        Versions(api.require_version),
        KnownParameters(document),
    ]
    routes = {
        DOCUMENT: DocumentResource(document),
        **_routes(context, FaultSubscriptions(Subscriptions(database), context)),
        ui.PATH: ui.Page(api.public_url, auth_mode),
        **{f"{ui.PATH}/{name}": ui.Asset(name) for name in ui.FILES},
    }
    return http_application.create(middleware, routes, BadFilter, BadMarker)


def _routes(context: ApiContext, subscriptions: FaultSubscriptions) -> dict[str, object]:
    return {
        "/ifa/v1/alarms": IfaAlarms(context),
        "/ifa/v1/alarms/{alarm_id}": OneIfaAlarm(context),
        "/ifa/v1/alarms/{alarm_id}/history": IfaHistory(context),
        "/vnffm/v1/alarms": FaultAlarms(context),
        "/vnffm/v1/alarms/{alarm_id}": FaultAlarm(context),
        "/vnffm/v1/subscriptions": subscriptions,
        "/vnffm/v1/subscriptions/{subscription_id}": FaultSubscription(subscriptions),
        **dict.fromkeys(API_VERSIONS, ApiVersions(context)),
    }
