"""One HTTP request, without redirects and retries, by the library that openstacksdk uses too."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from eventalarm.pulse.plugins.answers import Answer, Failure, Trouble, shortened

#: Bytes of a body that are read, and the size of a piece.
LIMIT: Final = 8 * 1024 * 1024
_PIECE: Final = 64 * 1024
_WITH_SECRETS: Final = re.compile(r"//[^/@\s]*@")


class Web:
    """Requests that authenticate by what is given to them only.

    :param verify: whether certificates are verified, or the file of the authorities that are trusted.
    :param certificate: the file or files of a client's certificate and key.
    """

    def __init__(self, verify: bool | str = True, certificate: Any = None) -> None:
        from keystoneauth1.session import Session  # noqa: PLC0415 - slow to import

        self._session = Session(verify=verify, cert=certificate, app_name="eventalarm-pulse")

    def get(
        self,
        url: str,
        timeout: float,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        **more: Any,
    ) -> Answer | Failure:
        """Return the answer, or why there is none after *timeout* seconds."""
        return answered(
            lambda: self._session.request(
                url,
                method,
                headers=dict(headers or {}),
                authenticated=False,
                redirect=False,
                raise_exc=False,
                timeout=timeout,
                stream=True,
                log=False,
                **more,
            ),
            timeout,
        )

    @property
    def cookies(self) -> Any:
        """The cookies that servers have set."""
        return self._session.session.cookies


def cloud_get(adapter: Callable[[], Any], path: str, timeout: float, **more: Any) -> Answer | Failure:
    """Return what a service of the cloud answers to a GET by its adapter of openstacksdk.

    :param adapter: returns the adapter; it may ask the service for its versions first.
    """
    return answered(
        lambda: adapter().get(path, raise_exc=False, timeout=timeout, stream=True, **more), timeout
    )


def answered(request: Callable[[], Any], timeout: float) -> Answer | Failure:
    """Return what came back from *request*, which returns a response whose body was not read."""
    from keystoneauth1 import exceptions  # noqa: PLC0415 - slow to import

    begun = time.monotonic()
    try:
        response = request()
        text = _body(response, begun + timeout)
    except exceptions.ClientException as exc:
        return Failure(_trouble(exc), _detail(exc), time.monotonic() - begun)
    except Exception as exc:
        if not type(exc).__module__.startswith(("openstack.", "requests.", "urllib3.")):
            raise
        return Failure(_trouble(exc), _detail(exc), time.monotonic() - begun)
    location = response.headers.get("Location", "")
    return Answer(response.status_code, time.monotonic() - begun, text, location)


def _body(response: Any, deadline: float) -> str:
    """Return the start of the body; a server that sends it slowly does not delay the end."""
    from keystoneauth1 import exceptions  # noqa: PLC0415 - slow to import

    pieces: list[bytes] = []
    size = 0
    try:
        for piece in response.iter_content(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if time.monotonic() > deadline:
                raise exceptions.ConnectTimeout("the body takes too long")
            if size > LIMIT:
                break
    finally:
        response.close()
    return b"".join(pieces)[:LIMIT].decode(errors="replace")


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and what caused it, as libraries wrap errors."""
    waiting: list[Any] = [error]
    found: list[BaseException] = []
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            yield one
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]


_BY_CLASS: Final[tuple[tuple[str, Trouble], ...]] = (
    ("SSLError", Trouble.TLS),
    ("SSLFailure", Trouble.TLS),
    ("ConnectTimeout", Trouble.TIMEOUT),
    ("ReadTimeout", Trouble.TIMEOUT),
    ("ReadTimeoutError", Trouble.TIMEOUT),
    ("CatalogException", Trouble.CATALOGUE),
    ("EndpointNotFound", Trouble.CATALOGUE),
    ("EmptyCatalog", Trouble.CATALOGUE),
    ("ServiceDisabledException", Trouble.CATALOGUE),
    ("Unauthorized", Trouble.CREDENTIALS),
    ("MissingRequiredOptions", Trouble.CREDENTIALS),
)


def _trouble(error: BaseException) -> Trouble:
    all_of_them = list(causes(error))
    for one in all_of_them:
        if isinstance(one, ConnectionRefusedError):
            return Trouble.REFUSED
        if isinstance(one, socket.gaierror):
            return Trouble.NAME
        if isinstance(one, TimeoutError):
            return Trouble.TIMEOUT
    names = {kind.__name__ for one in all_of_them for kind in type(one).__mro__}
    return next((trouble for name, trouble in _BY_CLASS if name in names), Trouble.CONNECTION)


def _detail(error: BaseException) -> str:
    """Return the text of the innermost error: the outer ones repeat the URL with what it contains."""
    texts = [str(one) for one in causes(error) if not isinstance(one, (str, bytes)) and str(one)]
    inner = texts[-1] if texts else type(error).__name__
    return shortened(_WITH_SECRETS.sub("//", inner))
