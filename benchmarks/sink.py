"""The webhook consumer, in its own process: records what arrives and when, and answers at once.

``python -m benchmarks.sink DESTINATIONS`` prints its port, then serves it on that many loopback addresses.
POST anything is recorded; GET /wait?count=N&timeout=S returns when N have arrived or S seconds are over;
GET /results returns them; POST /-/reset forgets them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

from aiohttp import web

RESET = "/-/reset"
HOST = "127.0.0.1"
DELIVERY_ID = "X-Eventalarm-Delivery-Id"


def addresses(count: int) -> list[str]:
    """Return *count* loopback addresses, each of which is a separate destination."""
    return [HOST, *(f"127.0.1.{number}" for number in range(1, count))]


class Sink:
    """Arrivals in order: monotonic seconds, alarm id (the last part of the path), delivery id, body."""

    def __init__(self) -> None:
        self._arrived: list[tuple[float, str, str, bytes]] = []
        self._wanted = 0
        self._enough = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Serve one request."""
        if request.method == "GET":
            return await self._answer(request)
        if request.path == RESET:
            self._arrived = []
            return web.Response()
        content = await request.read()
        moment = time.monotonic()
        delivery = request.headers.get(DELIVERY_ID, "")
        self._arrived.append((moment, request.path.rpartition("/")[2], delivery, content))
        if len(self._arrived) >= self._wanted:
            self._enough.set()
        return web.Response()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/wait":
            self._wanted = int(request.query["count"])
            self._enough.clear()
            if len(self._arrived) < self._wanted:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._enough.wait(), float(request.query["timeout"]))
            return web.json_response({"count": len(self._arrived)})
        return web.json_response([self._as_json(*one) for one in self._arrived])

    @staticmethod
    def _as_json(moment: float, alarm: str, delivery: str, content: bytes) -> list[Any]:
        event = json.loads(content)["reason_data"]["event"]
        return [moment, alarm, event["message_id"], delivery]


async def serve(destinations: int) -> None:
    """Serve until standard input closes."""
    runner = web.ServerRunner(web.Server(Sink().handle, access_log=None))
    await runner.setup()
    port = 0
    for host in addresses(destinations):
        site = web.TCPSite(runner, host, port, backlog=1024)
        await site.start()
        port = port or int(site.name.rpartition(":")[2])
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
