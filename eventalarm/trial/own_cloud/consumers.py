"""Webhook consumers that misbehave on request, in a process of their own.

``python -m eventalarm.trial.own_cloud.consumers`` obeys one JSON request per line: ``open`` a consumer,
``mode`` (how it behaves from now on), ``results`` (what it received and answered since the last request).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from eventalarm.trial.history.records import Receipt
from eventalarm.trial.history.user_checks import TRAP
from eventalarm.trial.own_cloud.programs.children import Child

HOST = "127.0.0.1"
DELIVERY_ID = "X-Eventalarm-Delivery-Id"
OK, REFUSE, HANG, DRIP, GONE, TLS = "ok", "refuse", "hang", "drip", "gone", "break TLS"
ANSWERS: dict[str, tuple[int, dict[str, str]]] = {
    OK: (200, {}),
    "answer 404": (404, {}),
    GONE: (410, {}),
    "answer 503": (503, {}),
    "answer 429": (429, {"Retry-After": "1"}),
    "redirect": (307, {"Location": TRAP}),
}
MODES = (REFUSE, HANG, DRIP, *list(ANSWERS)[1:], TLS)
CLOSED = frozenset({REFUSE, TLS})
DRIPS, DRIP_EVERY = 10, 0.2


class Consumer:
    """One port and how it behaves."""

    def __init__(self, name: str, receipts: list[list[Any]], context: ssl.SSLContext | None) -> None:
        self._name = name
        self._receipts = receipts
        self._context = context
        self._mode = OK
        self._changed = asyncio.Event()
        self._port = 0
        self._server = web.Server(self._handle, access_log=None)
        self._listening: asyncio.Server | None = None

    async def open(self) -> int:
        """Listen; return the port, which never changes."""
        await self._listen(self._server, self._context)
        return self._port

    async def _listen(self, protocol: Any, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(
            protocol, HOST, self._port, ssl=context, reuse_address=True, backlog=512
        )
        self._port = self._listening.sockets[0].getsockname()[1]

    async def mode(self, mode: str) -> None:
        """Behave as *mode* says from now on, on open connections too."""
        before, self._mode = self._mode, mode
        self._changed.set()
        self._changed = asyncio.Event()
        if CLOSED.isdisjoint({before, mode}):
            return
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        if mode == TLS:
            await self._listen(_Garbage, None)
        elif mode != REFUSE:
            await self._listen(self._server, self._context)

    async def close(self) -> None:
        """Release held requests and close every connection."""
        await self.mode(REFUSE)
        await self._server.shutdown(1.0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        began = time.time()
        body = await request.read()
        mode = self._mode
        if mode in CLOSED or mode == HANG:
            if mode == HANG:
                await self._changed.wait()
            self._note(request, body, began, 0)
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        status, headers = ANSWERS.get(mode, ANSWERS[OK])
        self._note(request, body, began, status)
        if mode == DRIP:
            return await self._drip(request)
        return web.Response(status=status, headers=headers)

    async def _drip(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(DRIPS)})
        with contextlib.suppress(ConnectionError):
            await response.prepare(request)
            for _ in range(DRIPS):
                await asyncio.sleep(DRIP_EVERY)
                await response.write(b".")
        return response

    def _note(self, request: web.BaseRequest, body: bytes, began: float, status: int) -> None:
        # Bodies of sol003+ and tacker+ actions hold no event.
        event = json.loads(body or "{}").get("reason_data", {}).get("event", {})
        delivery_id = request.headers.get(DELIVERY_ID, "")
        message_id = event.get("message_id", "")
        # The caller reads a dripping answer to its end before it records anything.
        ended = time.time() + (DRIPS * DRIP_EVERY if self._mode == DRIP else 0.0)
        self._receipts.append([began, ended, self._name, request.path, delivery_id, message_id, status])


class _Garbage(asyncio.Protocol):
    """Answer on a connection without TLS."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"220 this is not the handshake you are looking for\r\n")
        transport.close()


class _Street:
    """All consumers."""

    def __init__(self) -> None:
        self._consumers: dict[str, Consumer] = {}
        self._receipts: list[list[Any]] = []

    async def open(self, name: str, certificate: str = "") -> int:
        """Open a consumer; with the file of a *certificate* and its key it speaks TLS."""
        context = None
        if certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
        self._consumers[name] = Consumer(name, self._receipts, context)
        return await self._consumers[name].open()

    async def mode(self, name: str, mode: str) -> None:
        """Change how a consumer behaves."""
        await self._consumers[name].mode(mode)

    async def close(self) -> None:
        """Release everything."""
        for consumer in self._consumers.values():
            await consumer.close()

    async def results(self) -> list[list[Any]]:
        """Return and discard what was received."""
        taken = list(self._receipts)
        del self._receipts[: len(taken)]
        return taken


async def _main() -> None:
    street = _Street()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        answer = await getattr(street, request.pop("verb"))(**request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    await street.close()


class Consumers:
    """The rig's end of the process; safe to share between threads."""

    def __init__(self) -> None:
        self._child = Child("eventalarm.trial.own_cloud.consumers")
        self._lock = threading.Lock()

    def _ask(self, **request: Any) -> Any:
        with self._lock:
            return self._child.ask(**request)

    def open(self, name: str, certificate: str = "") -> str:
        """Return the base of the URLs of a new consumer; *certificate* is a PEM file with key and chain."""
        port = self._ask(verb="open", name=name, certificate=certificate)
        return f"{'https' if certificate else 'http'}://{HOST}:{port}/{name}"

    def mode(self, name: str, mode: str) -> None:
        """Make a consumer behave as one of :data:`MODES`, or normally again."""
        self._ask(verb="mode", name=name, mode=mode)

    def results(self) -> Sequence[Receipt]:
        """Return what all consumers received since the last request."""
        return [Receipt(*one) for one in self._ask(verb="results")]

    def close(self) -> None:
        """End the process."""
        self._child.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
