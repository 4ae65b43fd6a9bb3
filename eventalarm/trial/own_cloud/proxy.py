"""TCP links that can be cut half-open, in a process of their own.

``python -m eventalarm.trial.own_cloud.proxy`` obeys one JSON request per line: ``open`` a link to a port,
``hold`` it (nothing is forwarded any more, or only one way, without a RST), ``reset`` it (RST to both ends,
then it works).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import sys
import threading
from typing import Any

from eventalarm.trial.own_cloud.programs.children import Child

HOST = "127.0.0.1"
# What is held: everything, what the client sends, or what the server answers.
BOTH, THERE, BACK = "both", "there", "back"
PIECE = 65536
NO_LINGER = struct.pack("ii", 1, 0)


class Link:
    """One listening port, the port behind it, and the connections between."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._flows = {way: asyncio.Event() for way in (THERE, BACK)}
        self._resume()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        return int(self._server.sockets[0].getsockname()[1])

    def _resume(self) -> None:
        for flow in self._flows.values():
            flow.set()

    def hold(self, way: str = BOTH) -> int:
        """Stop forwarding, one way or both; return the number of connections affected."""
        for one in (THERE, BACK) if way == BOTH else (way,):
            self._flows[one].clear()
        return len(self._writers) // 2

    def reset(self) -> int:
        """Reset every connection and let new ones through."""
        for writer in self._writers:
            end = writer.get_extra_info("socket")
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            writer.transport.abort()
        self._resume()
        return len(self._writers) // 2

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        self._writers.add(writer)
        try:
            await self._flows[THERE].wait()
            there, back = await asyncio.open_connection(HOST, self._target)
            ends.append(back)
            self._writers.add(back)
            await asyncio.gather(self._pump(reader, back, THERE), self._pump(there, writer, BACK))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in ends:
                self._writers.discard(end)
                end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: str) -> None:
        while piece := await source.read(PIECE):
            await self._flows[way].wait()
            sink.write(piece)
            await sink.drain()
        raise ConnectionResetError


class _Switchboard:
    """The links by name."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}

    async def obey(self, verb: str, name: str, **arguments: Any) -> Any:
        """Obey one request."""
        if verb == "open":
            self._links[name] = Link(**arguments)
            return await self._links[name].open()
        return getattr(self._links[name], verb)(**arguments)


async def _main() -> None:
    switchboard = _Switchboard()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        answer = await switchboard.obey(**json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


class Links:
    """The rig's end of the process; safe to share between threads."""

    def __init__(self) -> None:
        self._child = Child("eventalarm.trial.own_cloud.proxy")
        self._lock = threading.Lock()

    def _ask(self, **request: Any) -> int:
        with self._lock:
            return int(self._child.ask(**request))

    def open(self, name: str, target: int) -> int:
        """Return a port that leads to *target*."""
        return self._ask(verb="open", name=name, target=target)

    def hold(self, name: str, way: str = BOTH) -> int:
        """Stop forwarding, one way or both; return the number of connections cut."""
        return self._ask(verb="hold", name=name, way=way)

    def reset(self, name: str) -> int:
        """Reset what was cut and forward again."""
        return self._ask(verb="reset", name=name)

    def close(self) -> None:
        """End the process."""
        self._child.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
