"""The WSGI application of the IFA API: its resources, their paths, the middleware and the NOC dashboard."""

from __future__ import annotations

import html
import pathlib
import urllib.parse
from typing import Any, Final

import falcon

from eventalarm.conf import IFA_GROUP
from eventalarm.http import application as http_application
from eventalarm.http import openapi
from eventalarm.http.application import Api
from eventalarm.http.auth import KEYSTONE, Guard
from eventalarm.http.deploy import deploy
from eventalarm.http.openapi import Schemas
from eventalarm.http.parameters import BadParameter
from eventalarm.http.responses import BadMarker, Links
from eventalarm.ifa_shim import ifa_policies, options
from eventalarm.ifa_shim.api.context import AlarmService, ApiContext
from eventalarm.ifa_shim.api.history import AllHistory, IfaHistory
from eventalarm.ifa_shim.api.ifa import FaultTypes, IfaAlarms, OneIfaAlarm
from eventalarm.ifa_shim.api.resources import (
    OnePhysicalResource,
    OneResource,
    PhysicalResources,
    Resources,
)
from eventalarm.ifa_shim.api.sign_in import SignIn
from eventalarm.ifa_shim.api.subscriptions import FaultSubscription, FaultSubscriptions
from eventalarm.ifa_shim.api.vnffm import MAX_BODY, ApiVersions, FaultAlarm, FaultAlarms, Versions
from eventalarm.ifa_shim.filters import BadFilter
from eventalarm.storage.database import Database
from eventalarm.storage.subscriptions import Subscriptions

DOCUMENT: Final = "/openapi.json"
DOCUMENT_FILE: Final = pathlib.Path(__file__).with_name("openapi.yaml")
API_VERSIONS: Final = ("/vnffm/api_versions", "/vnffm/v1/api_versions")
DASHBOARD: Final = "/ui"
DASHBOARD_DIRECTORY: Final = pathlib.Path(__file__).parents[1] / "ui"
SCRIPT: Final = "text/javascript; charset=utf-8"
DASHBOARD_FILES: Final = {
    "noc.css": "text/css; charset=utf-8",
    "noc.js": SCRIPT,
    "service.js": SCRIPT,
    "acknowledge.js": SCRIPT,
    "controls.js": SCRIPT,
    "sign_in.js": SCRIPT,
}
TOKEN: Final = f"{DASHBOARD}/token"
DASHBOARD_PATHS: Final = (DASHBOARD, TOKEN, *(f"{DASHBOARD}/{name}" for name in DASHBOARD_FILES))
DASHBOARD_HEADERS: Final = {
    # Neither external nor inline code runs, so a name that looks like markup is not executed.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
# What it cannot answer without.
HEALTH_BACKENDS: Final = ("eventalarm_database",)
PUBLIC: Final = frozenset({*API_VERSIONS, *DASHBOARD_PATHS})
PREFIXES: Final = ("/ifa", "/vnffm", DOCUMENT, DASHBOARD)


def application(conf: Any, database: Database) -> Any:
    """Return the WSGI application on *database*, behind the middleware that *conf* asks for.

    :raises InvalidOption: when an option is invalid.
    """
    auth_mode = conf[IFA_GROUP].auth_mode
    return deploy(build(conf, database), conf, auth_mode=auth_mode, backends=HEALTH_BACKENDS)


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
        guard=Guard(conf, ifa_policies.RULES),
        links=Links(api.public_url),
        schemas=Schemas(document),
        options=api,
        now=database.about_now,
    )
    routes = {
        **_routes(context, FaultSubscriptions(Subscriptions(database), context)),
        **_dashboard(conf, api.public_url, auth_mode),
    }
    return http_application.create(
        conf,
        Api(document, DOCUMENT, auth_mode, PUBLIC, MAX_BODY),
        routes,
        middleware=[Versions(api.require_version)],
        bad_requests=[BadFilter, BadMarker, BadParameter],
    )


def _dashboard(conf: Any, public_url: str, auth_mode: str) -> dict[str, object]:
    """Return the routes of the dashboard; with Keystone users sign in by password unless it is disabled."""
    at_once = conf[IFA_GROUP].sign_ins_at_once if auth_mode == KEYSTONE else 0
    routes: dict[str, object] = {
        DASHBOARD: DashboardPage(public_url, auth_mode, password=at_once > 0),
        **{f"{DASHBOARD}/{name}": DashboardFile(name) for name in DASHBOARD_FILES},
    }
    if at_once:
        routes[TOKEN] = SignIn(lambda: conf.keystone_authtoken.www_authenticate_uri, at_once)
    return routes


def _routes(context: ApiContext, subscriptions: FaultSubscriptions) -> dict[str, object]:
    return {
        "/ifa/v1/alarms": IfaAlarms(context),
        "/ifa/v1/alarms/{alarm_id}": OneIfaAlarm(context),
        "/ifa/v1/alarms/{alarm_id}/history": IfaHistory(context),
        "/ifa/v1/history": AllHistory(context),
        "/ifa/v1/resources": Resources(context),
        "/ifa/v1/resources/{resource_id}": OneResource(context),
        "/ifa/v1/physical-resources": PhysicalResources(context),
        "/ifa/v1/physical-resources/{host}": OnePhysicalResource(context),
        "/ifa/v1/fault-types": FaultTypes(context),
        "/vnffm/v1/alarms": FaultAlarms(context),
        "/vnffm/v1/alarms/{alarm_id}": FaultAlarm(context),
        "/vnffm/v1/subscriptions": subscriptions,
        "/vnffm/v1/subscriptions/{subscription_id}": FaultSubscription(subscriptions),
        **dict.fromkeys(API_VERSIONS, ApiVersions(context)),
    }


class DashboardPage:
    """The page of the NOC dashboard, with the path of the API and how callers authenticate (*auth_mode*)."""

    media_types = ("text/html",)

    def __init__(self, public_url: str, auth_mode: str, *, password: bool) -> None:
        self._path = urllib.parse.urlsplit(public_url).path.rstrip("/") if public_url else None
        self._auth_mode = auth_mode
        text = (DASHBOARD_DIRECTORY / "index.html").read_text(encoding="utf-8")
        self._text = text.replace("__PASSWORD__", "yes" if password else "no")

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the page. Its links stay on the host of the request, whatever the public URL is."""
        root = html.escape(req.root_path if self._path is None else self._path)
        resp.text = self._text.replace("__ROOT__", root).replace("__AUTH__", self._auth_mode)
        resp.content_type = "text/html; charset=utf-8"
        resp.set_headers(DASHBOARD_HEADERS)


class DashboardFile:
    """A script or style sheet of the NOC dashboard."""

    def __init__(self, name: str) -> None:
        self._text = (DASHBOARD_DIRECTORY / name).read_text(encoding="utf-8")
        self._content_type = DASHBOARD_FILES[name]
        self.media_types = (self._content_type.partition(";")[0],)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the file."""
        resp.text = self._text
        resp.content_type = self._content_type
        resp.set_headers(DASHBOARD_HEADERS)
