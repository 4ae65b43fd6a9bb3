"""Webhooks over http and https: Aodh's body and headers, limited in time, size and networks."""

from __future__ import annotations

import contextlib
import datetime
import functools
import random
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import aiohttp
import yarl
from aiohttp.client_proto import ResponseHandler

from eventalarm.delivery import action, retry
from eventalarm.delivery.names import Names
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.base import Destination
from eventalarm.delivery.senders.network import DENIED, EgressFilter, TlsContexts
from eventalarm.delivery.senders.signer import Signer
from eventalarm.exceptions import DeliveryError
from eventalarm.model import UTC, Delivery

DELIVERY_ID_HEADER = "X-Eventalarm-Delivery-Id"
REPLAY_ID_HEADER = "X-Eventalarm-Replay-Id"
REPLAY_OF_HEADER = "X-Eventalarm-Replay-Of"
REQUEST_ID_HEADER = "x-openstack-request-id"
HTTP_OK: Final = 200
# Seconds; less than common servers allow, since a POST on a connection that the server just closed is lost.
KEEPALIVE = 1.5

# Bytes besides the body: status line, headers and trailers, chunk framing, interim responses.
OVERHEAD: Final = 64 * 1024

SORTED_FIRST = (aiohttp.ClientSSLError, aiohttp.ClientConnectorDNSError)
FAILURES: Final[tuple[tuple[Any, str, str], ...]] = (
    (aiohttp.ClientSSLError, "tls", "the TLS handshake failed"),
    (aiohttp.ClientConnectorDNSError, "dns", "the host name cannot be resolved"),
    (aiohttp.ConnectionTimeoutError, "connect_timeout", "no connection within connect_timeout"),
    (TimeoutError, "timeout", "no response within total_timeout"),
    (
        (OSError, aiohttp.ClientConnectionError),
        "disconnected",
        "the connection was lost before the response",
    ),
    (ValueError, "bad_action", "the action is not a valid URL"),  # also aiohttp.InvalidURL
)


class _Bounded(ResponseHandler):
    """Counts the bytes of one response.

    The reader limits the body only. Interim responses (1xx), chunk extensions and bytes after the response
    are not part of it; without this limit a peer could keep the event loop busy with them until the timeout.
    """

    def __init__(self, loop: Any, limit: int) -> None:
        super().__init__(loop=loop)
        self._limit = limit
        self._left = limit

    def set_response_params(self, **params: Any) -> None:
        """Prepare for the next response."""
        self._left = self._limit
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Parse bytes, and abort the connection beyond the limit."""
        super().data_received(data)
        self._left -= len(data)
        if self._left < 0 and self.transport is not None:
            self.transport.abort()


class BoundedConnector(aiohttp.TCPConnector):
    """A connector whose connections read at most *largest* + :data:`OVERHEAD` bytes of a response."""

    def __init__(self, largest: int, **options: Any) -> None:
        super().__init__(**options)
        self._factory: Any = functools.partial(_Bounded, self._loop, largest + OVERHEAD)


def _now() -> datetime.datetime:
    return datetime.datetime.now(UTC)


def _request_id() -> str:
    # Not uuid4: its system call for randomness releases the GIL once per POST.
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


class HttpSender:
    """Sends webhooks through one session; the scheduler, not the connection pool, limits concurrency.

    :param egress: the egress filter; by default that of *options*, as are *names*, the resolver.
    :param signer: signs what :meth:`post` sends; by default nothing is signed.
    :param tls: the TLS contexts; by default made from *options*, which reads files.
    :raises InvalidOption: if Aodh's TLS options name files that cannot be used.
    """

    def __init__(
        self,
        options: DeliveryOptions,
        *,
        new_id: Callable[[], str] = _request_id,
        now: Callable[[], datetime.datetime] = _now,
        egress: EgressFilter | None = None,
        names: Names | None = None,
        tls: TlsContexts | None = None,
        signer: Signer | None = None,
    ) -> None:
        self._options = options
        self._new_id = new_id
        self._now = now
        self._signer = signer
        self._tls = tls or TlsContexts(options.tls)
        self._egress = egress or EgressFilter(options.deny_networks, options.allow_networks)
        self._names = names or Names(options.names)
        self._session: aiohttp.ClientSession | None = None

    def destination(self, delivery: Delivery) -> Destination:
        """Return scheme, host and port of the action."""
        return Destination(*action.place(delivery.action), self._options.concurrency_per_destination)

    async def send(self, delivery: Delivery) -> int:
        """POST the notification to the action; return the status, which is 2xx.

        :raises DeliveryError: for any other response, and if there is none.
        """
        return await self.post(action.http_url(delivery.action), delivery)

    async def post(
        self,
        url: yarl.URL,
        delivery: Delivery,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        *,
        message_id: str = "",
    ) -> int:
        """POST to *url* with additional *headers*; return the status, which is 2xx.

        :param content: the body; by default the encoded notification.
        :param message_id: the id to sign; by default the delivery id.
        :raises DeliveryError: for any other response, if there is none, and if it cannot be signed.
        """
        if content is None:
            content = delivery.notification.encoded()
        sent = {**(headers or {}), **self._headers(delivery)}
        if self._signer is not None:
            signed_id = message_id or delivery.delivery_id
            sent |= await self._signer.headers(delivery.project_id, signed_id, content)
        async with self._response("POST", url, sent, content) as response:
            await self._drain(response)
        if 200 <= response.status < 300:
            return response.status
        answer = response.headers
        wait = retry.retry_after(answer.get("Retry-After"), answer.get("Date"), self._now())
        raise retry.of_status(response.status, wait)

    async def get(self, url: yarl.URL, headers: Mapping[str, str]) -> int:
        """GET *url* with the limits of :meth:`post`; return the status, which is 2xx.

        :raises DeliveryError: for any other response, and if there is none.
        """
        return await self._plain("GET", url, headers)

    async def put(self, url: yarl.URL, headers: Mapping[str, str], content: bytes) -> int:
        """PUT *content* to *url* with the limits of :meth:`post`; return the status, which is 2xx.

        :raises DeliveryError: for any other response, and if there is none.
        """
        return await self._plain("PUT", url, headers, content)

    async def _plain(
        self, method: str, url: yarl.URL, headers: Mapping[str, str], content: bytes | None = None
    ) -> int:
        sent = {**headers, REQUEST_ID_HEADER: f"req-{self._new_id()}"}
        async with self._response(method, url, sent, content) as response:
            await self._drain(response)
        if 200 <= response.status < 300:
            return response.status
        raise retry.of_status(response.status)

    async def ask(self, url: yarl.URL, form: Mapping[str, str], headers: Mapping[str, str]) -> bytes:
        """POST *form* to *url*; return the body of the response, of status 200, up to ``max_response_size``.

        :raises DeliveryError: for any other response, and if there is none.
        """
        async with self._response("POST", url, headers, form) as response:
            answer = await response.content.read(self._options.max_response_size)
        if response.status != HTTP_OK:
            raise retry.of_status(response.status)
        return answer

    @contextlib.asynccontextmanager
    async def _response(
        self, method: str, url: yarl.URL, headers: Mapping[str, str], data: Any = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Make a request; the response is read inside the context.

        :raises DeliveryError: if there is no response, or reading it fails.
        """
        await self._names.prepare(url.raw_host)
        try:
            async with self._opened().request(
                method, url, data=data, headers=headers, allow_redirects=False, ssl=self._context(url)
            ) as response:
                yield response
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise failure(exc) from exc

    def _context(self, url: yarl.URL) -> Any:
        return self._tls.for_query(url.raw_query_string) if url.scheme == "https" else True

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            REQUEST_ID_HEADER: f"req-{self._new_id()}",
            DELIVERY_ID_HEADER: delivery.delivery_id,
        }
        if delivery.replay_id:
            headers |= {REPLAY_ID_HEADER: delivery.replay_id, REPLAY_OF_HEADER: delivery.replay_of}
        return headers

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = BoundedConnector(
                self._options.max_response_size,
                limit=0,
                keepalive_timeout=KEEPALIVE,
                resolver=self._names,
                use_dns_cache=False,
                socket_factory=self._egress.socket,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                # Cookies of one tenant must not reach another.
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"User-Agent": "eventalarm", "Accept": "*/*", "Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(
                    total=self._options.total_timeout,
                    connect=self._options.connect_timeout,
                    ceil_threshold=float("inf"),
                ),
            )
        return self._session

    async def _drain(self, response: aiohttp.ClientResponse) -> None:
        """Read the rest of the response, so that the connection can be reused.

        The status is decisive: a body that is slow, breaks off or never ends only costs the connection.
        """
        left = self._options.max_response_size
        with contextlib.suppress(aiohttp.ClientError, OSError):
            while left > 0 and (chunk := await response.content.read(left)):
                left -= len(chunk)


def failure(error: Exception) -> DeliveryError:
    """Return the error for an exception of aiohttp, without the URL: it may contain secrets."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return DeliveryError("tls", getattr(error.certificate_error, "verify_message", "bad certificate"))
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, SORTED_FIRST):
        if DENIED in str(error.os_error):
            return DeliveryError("egress_denied", str(error.os_error), permanent=True)
        return DeliveryError("connect", error.strerror or type(error.os_error).__name__)
    for kinds, reason, text in FAILURES:
        if isinstance(error, kinds):
            return DeliveryError(reason, text, permanent=reason == "bad_action")
    return DeliveryError("protocol", f"the response is not valid HTTP ({type(error).__name__})")
