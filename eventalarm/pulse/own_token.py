"""The cloud as the caller of an API may see it, with their token as it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from keystoneauth1 import access, session
from keystoneauth1 import exceptions as keystone
from keystoneauth1.identity.access import AccessInfoPlugin

from eventalarm.exceptions import EventAlarmError
from eventalarm.pulse import connection


class KeystoneFailed(EventAlarmError):
    """Keystone does not say what a token is for."""


def connector(auth_url: str, token: str, timeout: float, verify: bool | str) -> Callable[[], Any]:
    """Return what connects on its first call, by one request to Keystone. Thread-safe.

    No token is requested with the caller's: Keystone refuses that for tokens of trusts, and where
    ``allow_rescope_scoped_token`` is false. The catalogue comes from the caller's token, of which each user
    may ask Keystone. The call raises KeystoneFailed when Keystone does not answer so, and InvalidOption when
    openstacksdk is missing.

    :param auth_url: Keystone's, with or without ``/v3``.
    :param verify: whether certificates are verified, or the file of the authorities that are trusted.
    """
    lock = threading.Lock()
    made: list[Any] = []

    def connect() -> Any:
        with lock:
            if not made:
                openstack = connection.sdk()
                auth = AccessInfoPlugin(_access(_root(auth_url), token, timeout, verify), auth_url)
                used = session.Session(auth=auth, timeout=timeout, verify=verify)
                made.append(openstack.connection.Connection(session=used))
            return made[0]

    return connect


def _root(auth_url: str) -> str:
    root = auth_url.rstrip("/")
    return root if root.endswith("/v3") else f"{root}/v3"


def _access(root: str, token: str, timeout: float, verify: bool | str) -> Any:
    headers = {"X-Auth-Token": token, "X-Subject-Token": token, "Accept": "application/json"}
    try:
        answer = session.Session(timeout=timeout, verify=verify).get(
            f"{root}/auth/tokens", headers=headers, authenticated=False, redirect=False, log=False
        )
        return access.create(body=answer.json(), auth_token=token)
    except (keystone.ClientException, ValueError) as exc:
        status = getattr(exc, "http_status", 0)
        problem = f"Keystone answers {status}" if status else "Keystone does not answer as expected"
        raise KeystoneFailed(f"{problem} when asked for the catalogue of the token") from exc
