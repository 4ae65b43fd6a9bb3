"""Signing in on the NOC dashboard: a Keystone token for the password of a user."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, Final

import falcon
from keystoneauth1 import exceptions as keystone
from keystoneauth1 import session
from keystoneauth1.identity import v3

from eventalarm.http.requests import read_json
from eventalarm.http.responses import BadBody, FieldError

# Bytes of a request body, characters of a field, seconds that Keystone may take, and seconds in Retry-After.
MAX_BODY: Final = 4096
LONGEST: Final = 512
TIMEOUT: Final = 10.0
RETRY_AFTER: Final = 5
# The fields, each with its default; None if it must be given.
FIELDS: Final = {
    "user": None,
    "userDomain": "Default",
    "password": None,
    "project": None,
    "projectDomain": "Default",
}


class SignIn:
    """``/ui/token``: exchanges a user's password for a token of Keystone.

    The page asks this service and not Keystone, so that Keystone needs no CORS, and the page's content
    security policy no other site. Nothing is stored or logged. Keystone limits failed attempts, by the user
    and by the address of the browser, which it receives in the header Forwarded.

    :param uri: returns the address of Keystone; its option is registered after this object is made.
    :param at_once: how many requests may wait for Keystone; more are answered with 503.
    """

    def __init__(self, uri: Callable[[], str | None], at_once: int) -> None:
        self._uri = uri
        self._free = threading.Semaphore(at_once)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the token; 401 if Keystone refuses the password."""
        given = _fields(read_json(req, MAX_BODY))
        if not self._free.acquire(blocking=False):
            raise falcon.HTTPServiceUnavailable(
                description="too many users sign in; try again later", retry_after=RETRY_AFTER
            )
        try:
            token = self._token(given, req.remote_addr)
        finally:
            self._free.release()
        resp.set_header("Cache-Control", "no-store")
        resp.text = json.dumps({"token": token})

    def _token(self, given: dict[str, str], address: str) -> str:
        root = (self._uri() or "").rstrip("/")
        auth = v3.Password(
            auth_url=root if root.endswith("/v3") else f"{root}/v3",
            username=given["user"],
            user_domain_name=given["userDomain"],
            password=given["password"],
            project_name=given["project"],
            project_domain_name=given["projectDomain"],
        )
        try:
            return str(session.Session(auth=auth, timeout=TIMEOUT, original_ip=address).get_token())
        except (keystone.Unauthorized, keystone.BadRequest, keystone.Forbidden) as exc:
            raise falcon.HTTPUnauthorized(
                description="Keystone refuses this user, password or project", challenges=["Keystone"]
            ) from exc
        except keystone.ClientException as exc:
            raise falcon.HTTPServiceUnavailable(
                description="Keystone does not answer; try again later", retry_after=RETRY_AFTER
            ) from exc


def _fields(body: Any) -> dict[str, str]:
    """Return the fields of a request.

    :raises BadBody: when one is missing, unknown or no text.
    """
    if not isinstance(body, dict):
        raise BadBody([FieldError("", "must be an object", f"give {', '.join(FIELDS)}")])
    errors = [
        FieldError(f"/{name}", "unknown field", "remove it") for name in sorted(body.keys() - FIELDS.keys())
    ]
    found = {name: body.get(name) or default for name, default in FIELDS.items()}
    errors += [
        FieldError(f"/{name}", f"must be a text of 1 to {LONGEST} characters", "correct it")
        for name, value in found.items()
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST
    ]
    if errors:
        raise BadBody(errors)
    return {name: str(value) for name, value in found.items()}
