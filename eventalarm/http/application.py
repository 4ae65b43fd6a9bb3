"""Assembles an API from its resources: Falcon middleware, errors and the OpenAPI document."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import falcon

from eventalarm.http.auth import Identity
from eventalarm.http.openapi import Document, DocumentResource, KnownParameters
from eventalarm.http.requests import Conformance, Request
from eventalarm.http.responses import install_problems

# Maximum length of a query string, in bytes.
MAX_QUERY: Final = 8 * 1024


@dataclasses.dataclass(frozen=True)
class Api:
    """The properties in which one API differs from another.

    ``public`` are the paths that need no authentication; that of the OpenAPI document is always public.
    Requests of the paths ``signed`` may have a signature instead of a caller. ``max_body`` is in bytes; with
    None each resource limits the body itself.
    """

    document: Document
    document_path: str
    auth_mode: str
    public: frozenset[str] = frozenset()
    max_body: int | None = None
    signed: frozenset[str] = frozenset()


def create(
    conf: Any,
    api: Api,
    routes: Mapping[str, Any],
    *,
    middleware: Sequence[Any] = (),
    bad_requests: Sequence[type[Exception]] = (),
) -> falcon.App[Any, Any]:
    """Return the application of *api*, which trusts the identity headers that keystonemiddleware sets.

    It serves its OpenAPI document, answers errors as problem details, and answers HEAD where it answers GET.

    :param routes: a resource for each path.
    :param middleware: Falcon middleware that runs after the caller is identified.
    :param bad_requests: exceptions that are answered with 400 and their text.
    """
    found = [
        Conformance(MAX_QUERY, api.max_body),
        Identity(
            conf,
            auth_mode=api.auth_mode,
            public=api.public | {api.document_path},
            signed=api.signed,
        ),
        *middleware,
        KnownParameters(api.document),
    ]
    app: falcon.App[Any, Any] = falcon.App(request_type=Request, middleware=found)
    app.req_options.strip_url_path_trailing_slash = True
    install_problems(app, *bad_requests)
    routes = {api.document_path: DocumentResource(api.document), **routes}
    for path, resource in routes.items():
        # RFC 9110 clause 9.3.2.
        if hasattr(resource, "on_get") and not hasattr(resource, "on_head"):
            resource.on_head = resource.on_get
        app.add_route(path, resource)
    return app
