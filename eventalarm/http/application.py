"""Assembly of a falcon application: the middleware, the error handling and the proxies of both APIs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import falcon
from oslo_middleware import http_proxy_to_wsgi

from eventalarm.http.auth import KEYSTONE
from eventalarm.http.requests import Request
from eventalarm.http.responses import install_problems


def create(
    middleware: Sequence[Any], routes: Mapping[str, Any], *bad_requests: type[Exception]
) -> falcon.App[Any, Any]:
    """Return an application that answers errors as problem details; a resource with GET answers HEAD too.

    :param routes: a resource for each path.
    :param bad_requests: errors that are answered with 400 and their text.
    """
    app: falcon.App[Any, Any] = falcon.App(request_type=Request, middleware=list(middleware))
    app.req_options.strip_url_path_trailing_slash = True
    install_problems(app, *bad_requests)
    for path, resource in routes.items():
        # RFC 9110 clause 9.3.2.
        if hasattr(resource, "on_get") and not hasattr(resource, "on_head"):
            resource.on_head = resource.on_get
        app.add_route(path, resource)
    return app


def with_proxies(app: Any, conf: Any, auth_mode: str) -> Any:
    """Return *app* behind the middleware for proxy headers and, with *auth_mode* keystone, for tokens."""
    if auth_mode == KEYSTONE:
        # Imported only when needed: deployments without Keystone do not need its client.
        from keystonemiddleware import auth_token  # noqa: PLC0415

        app = auth_token.filter_factory({"oslo_config_config": conf, "delay_auth_decision": True})(app)
    return http_proxy_to_wsgi.HTTPProxyToWSGI(app, conf)
