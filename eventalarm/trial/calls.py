"""HTTP requests to the cloud: with the credentials of ``clouds.yaml`` by openstacksdk, or without any."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from eventalarm.exceptions import EventAlarmError, InvalidOption
from eventalarm.trial.fields import Fields

TIMEOUT: Final = 10.0
MOST_BODY: Final = 4 * 2**20


class CallFailed(EventAlarmError):
    """A service cannot be reached, or gave no HTTP answer; the message names the URL."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Return the parsed body, or None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class Access:
    """How requests are made: a cloud of ``clouds.yaml``, or only headers, and a timeout in seconds."""

    cloud: str = ""
    headers: Mapping[str, str] | None = None
    timeout: float = TIMEOUT


def access_of(fields: Fields) -> Access:
    """Read ``cloud``, ``headers`` and ``timeout``.

    :raises InvalidScenario: naming the field that is wrong.
    """
    headers = fields.mapping("headers", {})
    timeout = fields.number("timeout", TIMEOUT, 0.1, 600)
    return Access(
        fields.text("cloud", ""),
        {name: str(value) for name, value in headers.items()},
        TIMEOUT if timeout is None else timeout,
    )


class Caller:
    """Makes requests; to be used by one thread."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._connection: Any = None

    def connect(self) -> None:
        """Read ``clouds.yaml``, if a cloud is named; nothing is requested yet.

        :raises InvalidOption: if openstacksdk is missing, or does not know the cloud.
        """
        if not self._access.cloud or self._connection is not None:
            return
        try:
            import openstack  # noqa: PLC0415 - part of an extra
            from openstack import exceptions  # noqa: PLC0415
        except ModuleNotFoundError as exc:
            raise InvalidOption("cloud", "needs openstacksdk", "pip install 'eventalarm[trial]'") from exc
        try:
            self._connection = openstack.connect(cloud=self._access.cloud)
        except exceptions.SDKException as exc:
            problem = str(exc).rstrip(".")
            raise InvalidOption("cloud", problem, "name a cloud of clouds.yaml") from exc

    def request(self, method: str, url: str, body: Any = None, service: str = "") -> Answer:
        """Return the answer, whatever its status; *url* is a path of *service*, if that is given.

        *service* is an official type of the catalogue, such as ``compute``; the path follows its version.

        :raises CallFailed: if there is none.
        """
        self.connect()
        if self._connection is not None:
            return self._by_session(method, url, body, service)
        return self._plain(method, url, body)

    def _by_session(self, method: str, url: str, body: Any, service: str) -> Answer:
        from keystoneauth1.exceptions import ClientException  # noqa: PLC0415 - not needed without a cloud
        from openstack.exceptions import SDKException  # noqa: PLC0415

        headers = dict(self._access.headers or {})
        options = {"raise_exc": False, "connect_retries": 0, "timeout": self._access.timeout}
        try:
            session = self._proxy(service) if service else self._connection.session
            found = session.request(url, method, json=body, headers=headers, **options)
        except (ClientException, SDKException) as exc:
            raise CallFailed(f"{service or url}: {' '.join(str(exc).split())[:300]}") from exc
        return Answer(found.status_code, found.content)

    def _proxy(self, service: str) -> Any:
        """Return what knows the endpoint of a service, with the version in it where there is one."""
        return getattr(self._connection, service.replace("-", "_"))

    def _plain(self, method: str, url: str, body: Any) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data is not None else {}
        request = urllib.request.Request(  # noqa: S310 - what the scenario names
            url, data, headers | dict(self._access.headers or {}), method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=self._access.timeout) as found:  # noqa: S310
                return Answer(found.status, found.read(MOST_BODY))
        except urllib.error.HTTPError as exc:
            return Answer(exc.code, exc.read(MOST_BODY))
        except (OSError, http.client.HTTPException) as exc:
            reason = getattr(exc, "reason", exc)
            raise CallFailed(f"{url}: {reason}") from exc


def http_url(fields: Fields, name: str = "url", default: object = None) -> str:
    """Return an absolute URL of HTTP, or an empty one if it is missing and *default* is not None.

    :raises InvalidScenario: naming the field that is wrong.
    """
    url = fields.text(name) if default is None else fields.text(name, default)
    if not url:
        return ""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise fields.wrong(name, f"{url!r} is not an HTTP URL", "write http://HOST:PORT/PATH")
    return url.rstrip("/")
