"""Puts an API behind its WSGI middleware: request ids, health check, CORS, proxy headers, tracing, tokens."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from oslo_config import cfg
from oslo_context import context as oslo_context
from oslo_middleware import cors, http_proxy_to_wsgi, request_id

from eventalarm.http.auth import KEYSTONE
from eventalarm.http.requests import WSGI, refuse
from eventalarm.http.responses import REQUEST_ID

LOG = logging.getLogger(__name__)

HEALTHCHECK: Final = "/healthcheck"
# What browsers may send to and read from both APIs, unless [cors] says otherwise.
ALLOWED_HEADERS: Final = ("X-Auth-Token", "X-Openstack-Request-Id", "Version", "If-Match", "If-None-Match")
EXPOSED_HEADERS: Final = ("X-Openstack-Request-Id", "Version", "ETag", "Link", "Location", "Retry-After")
ALLOWED_METHODS: Final = ("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD")
PROFILER: Final = "profiler"
PROFILER_VARIABLES: Final = "OS_PROFILER__"


def deploy(app: WSGI, conf: cfg.ConfigOpts, *, auth_mode: str, backends: Sequence[str]) -> Any:
    """Return *app* behind the middleware that *conf* asks for.

    From the outside to the inside: request ids, the health check, CORS, proxy headers, osprofiler, and with
    *auth_mode* keystone tokens. It is the order of Aodh's ``api-paste.ini``, except that a request has its id
    from the beginning. The health check is outside of the proxy headers, so that none of them can forge the
    address that ``[healthcheck] allowed_source_ranges`` is compared with.

    :param backends: default of ``[healthcheck] backends``.
    """
    if auth_mode == KEYSTONE:
        # Imported only when needed: deployments without Keystone do not need its client.
        from keystonemiddleware import auth_token  # noqa: PLC0415

        app = auth_token.filter_factory({"oslo_config_config": conf, "delay_auth_decision": True})(app)
    app = http_proxy_to_wsgi.HTTPProxyToWSGI(_traced(app, conf), conf)
    app = Healthcheck(_cross_origin(app, conf), conf, backends)
    return request_id.RequestId(RequestContext(app), conf)


class RequestContext:
    """WSGI middleware: every line that this thread logs from now on has the id of the request.

    Once the caller is identified, the lines name the caller too. An error of the middleware inside, such as
    that for tokens, is answered as problem details.
    """

    def __init__(self, app: WSGI) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        # The new context becomes that of the thread, which oslo.log reads.
        oslo_context.RequestContext(
            request_id=environ.get(REQUEST_ID), global_request_id=environ.get(request_id.GLOBAL_REQ_ID)
        )
        try:
            return self._app(environ, start_response)
        except Exception:
            LOG.exception("Failed to answer %s", environ.get("PATH_INFO"))
            detail = "internal server error; see the service log"
            members = {"request_id": environ.get(REQUEST_ID)}
            return refuse(start_response, "500 Internal Server Error", detail, **members)


class Healthcheck:
    """WSGI middleware: answers ``/healthcheck`` without authentication, with oslo.middleware's health check.

    It is made at the first such request: services that nobody probes do not load it. An unknown backend makes
    the service unhealthy, instead of being left out.

    :param backends: default of ``[healthcheck] backends``.
    """

    def __init__(self, app: WSGI, conf: cfg.ConfigOpts, backends: Sequence[str]) -> None:
        self._app = app
        self._conf = conf
        self._backends = list(backends)
        self._lock = threading.Lock()
        self._made: WSGI | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        if environ.get("PATH_INFO", "").rstrip("/") != HEALTHCHECK:
            return self._app(environ, start_response)
        with self._lock:
            self._made = self._made or self._make()
        return self._made(environ, start_response)

    def _make(self) -> WSGI:
        from oslo_middleware import healthcheck  # noqa: PLC0415 - loads a template engine
        from oslo_middleware.healthcheck import opts  # noqa: PLC0415

        self._conf.register_opts(opts.HEALTHCHECK_OPTS, group="healthcheck")
        self._conf.set_default("backends", self._backends, group="healthcheck")
        made: Any = healthcheck.Healthcheck(self._app, self._conf)
        missing = set(self._conf.healthcheck.backends) - set(made._backends.names())
        if missing:
            LOG.error("[healthcheck] backends: %s cannot be loaded; correct the names", ", ".join(missing))
        return _unhealthy if missing else made


def _unhealthy(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = b"a backend of the health check cannot be loaded; see the service log"
    headers = [("Content-Type", "text/plain; charset=UTF-8"), ("Content-Length", str(len(body)))]
    start_response("503 Service Unavailable", headers)
    return [body] if environ.get("REQUEST_METHOD") != "HEAD" else []


def _cross_origin(app: WSGI, conf: cfg.ConfigOpts) -> WSGI:
    """Return *app* behind CORS if ``[cors] allowed_origin`` is set."""
    cors.set_defaults(
        allow_headers=list(ALLOWED_HEADERS),
        expose_headers=list(EXPOSED_HEADERS),
        allow_methods=list(ALLOWED_METHODS),
    )
    made: Any = cors.CORS(app, conf)
    return made if made.allowed_origins else app


def _traced(app: WSGI, conf: cfg.ConfigOpts) -> WSGI:
    """Return *app* behind osprofiler if ``[profiler] enabled`` is set.

    Without a setting of that group, osprofiler is not imported, which would take a third of a second.
    """
    from_environment = any(name.upper().startswith(PROFILER_VARIABLES) for name in os.environ)
    if PROFILER not in conf.list_all_sections() and not from_environment:
        return app
    if importlib.util.find_spec("osprofiler") is None:
        LOG.warning("[profiler] has no effect: osprofiler is not installed")
        return app
    from osprofiler import initializer, opts, web  # noqa: PLC0415

    opts.set_defaults(conf)
    if not conf.profiler.enabled:
        return app
    initializer.init_from_conf(
        conf=conf, context={}, project="eventalarm", service=conf.prog, host=socket.gethostname()
    )
    made: WSGI = web.WsgiMiddleware(app, conf.profiler.hmac_keys, enabled=True)
    return made
