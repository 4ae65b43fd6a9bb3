"""Resolves the host names of consumers through the system's resolver, with a cache for each project.

The lookups call ``getaddrinfo`` in threads. c-ares would support ``files`` and ``dns`` of nsswitch.conf only,
but a consumer that ``getent hosts`` finds in another source (``myhostname``, ``resolve``, ``sss``, ...) must
be found here too. A call of ``getaddrinfo`` cannot be cancelled: if its name server does not answer, it
occupies its thread for seconds. So the threads are shared fairly between projects, no delivery waits longer
than ``timeout``, and a name that failed is not looked up again for a while.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import cachetools
from aiohttp.abc import AbstractResolver, ResolveResult

from eventalarm.delivery.options import NameOptions
from eventalarm.delivery.threads import Threads
from eventalarm.exceptions import DeliveryError

RESERVED_SHARE: Final = 4

# (project, host name)
Key = tuple[str, str]


class LookupQueue:
    """Lets *limit* lookups run at once; a project may have as many as are still free.

    So N projects whose name servers do not answer leave 1/(N+1) of the threads free, and a quarter of all is
    kept for names that were resolved before.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._reserve = limit // RESERVED_SHARE
        self._running: Counter[str] = Counter()
        # Waiting names by project; under True those that were resolved before, under False the others.
        self._waiting: dict[bool, dict[str, deque[Key]]] = {True: {}, False: {}}

    def put(self, key: Key, *, known: bool) -> None:
        """Queue a lookup; *known*: the name was resolved before."""
        self._waiting[known].setdefault(key[0], deque()).append(key)

    def remove(self, key: Key) -> bool:
        """Remove a lookup that no delivery waits for any more; return False if it is not queued."""
        for queues in self._waiting.values():
            names = queues.get(key[0])
            if names is not None and key in names:
                names.remove(key)
                if not names:
                    del queues[key[0]]
                return True
        return False

    def take(self) -> Key | None:
        """Return the next lookup to run, or None when none may run now."""
        for known in (True, False):
            queues = self._waiting[known]
            if not queues:
                continue
            project = min(queues, key=self._running.__getitem__)
            if self._running[project] >= (self._free if known else self._free - self._reserve):
                continue
            # Projects with as many running lookups take turns.
            names = queues.pop(project)
            key = names.popleft()
            if names:
                queues[project] = names
            self._running[project] += 1
            self._free -= 1
            return key
        return None

    def finished(self, key: Key) -> None:
        """Record that a lookup that was taken has ended."""
        self._free += 1
        self._running[key[0]] -= 1
        if not self._running[key[0]]:
            del self._running[key[0]]


# Seconds for which an answer is used without another lookup.
FRESH: Final = 10.0
# The same for "no such name", at most lookup_failure_ttl: such a lookup does not hold its thread for long.
NONE_FRESH: Final = 1.0
# Maximum number of projects, and of names of each, that are remembered.
PROJECTS: Final = 2000
NAMES: Final = 256
NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
# The name servers answered that there is no such name, or that it has no address: an old answer is wrong.
NO_SUCH_NAME: Final = frozenset(
    {socket.EAI_NONAME, *([socket.EAI_NODATA] if hasattr(socket, "EAI_NODATA") else [])}
)

# The project whose delivery the current task sends.
PROJECT: Final[contextvars.ContextVar[str]] = contextvars.ContextVar("project", default="")

GetAddrInfo = Callable[..., Sequence[tuple[Any, ...]]]


@dataclasses.dataclass(slots=True)
class _Name:
    """The last good answer for a name, and why the last lookup failed, if it did. Times are monotonic."""

    answer: list[tuple[Any, ...]] = dataclasses.field(default_factory=list)
    kept_until: float = 0.0
    fresh_until: float = 0.0
    failure: str = ""
    unusable: bool = False


@dataclasses.dataclass(slots=True)
class _Lookup:
    ended: asyncio.Future[None]
    waiters: int = 0
    running: bool = False


class Names(AbstractResolver):
    """A resolver for one event loop: ``prepare`` looks a name up, ``resolve`` gives aiohttp the answer."""

    def __init__(
        self,
        options: NameOptions,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        getaddrinfo: GetAddrInfo = socket.getaddrinfo,
    ) -> None:
        self._options = options
        self._monotonic = monotonic
        self._getaddrinfo = getaddrinfo
        self._threads = Threads("resolver", options.threads)
        self._queue = LookupQueue(options.threads)
        self._lookups: dict[Key, _Lookup] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: cachetools.LRUCache[str, cachetools.LRUCache[str, _Name]]
        self._known = cachetools.LRUCache(PROJECTS)

    async def prepare(self, host: str | None) -> None:
        """Return once ``resolve`` has an answer for *host*; at once for an address.

        :raises DeliveryError: ``dns`` if the name cannot be resolved now, ``bad_action`` (permanent) if it is
            not a valid name, ``busy`` (not an attempt) if no thread became free for the lookup.
        """
        if not host or ":" in host or host.replace(".", "").isdigit():
            return
        key = (PROJECT.get(), host)
        name = self._name(key)
        if self._monotonic() < name.fresh_until:
            self._raise_failure(name)
            return
        if not await self._looked_up(key, name):
            self._unanswered(key, name)
        self._raise_failure(name)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses that ``prepare`` found.

        :raises OSError: if there are none.
        """
        answer = self._name((PROJECT.get(), host)).answer
        found = [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=proto, flags=NUMERIC)
            for kind, proto, address in answer
            if family in (socket.AF_UNSPEC, kind)
        ]
        # Several addresses are used in turn, as name servers do.
        answer.append(answer.pop(0)) if len(answer) > 1 else None
        if not found:
            raise OSError(None, "the host name cannot be resolved")
        return found

    async def close(self) -> None:
        """Do nothing: the threads end by themselves."""

    def _name(self, key: Key) -> _Name:
        project, host = key
        names = self._known.get(project)
        if names is None:
            names = self._known[project] = cachetools.LRUCache(NAMES)
        name: _Name | None = names.get(host)
        if name is None:
            name = names[host] = _Name()
        return name

    def _raise_failure(self, name: _Name) -> None:
        if name.unusable:
            raise DeliveryError("bad_action", "the host name is not valid", permanent=True)
        if name.failure:
            # Until then, another attempt would fail in the same way.
            wait = max(0.0, name.fresh_until - self._monotonic())
            raise DeliveryError("dns", name.failure, retry_after=wait)

    async def _looked_up(self, key: Key, name: _Name) -> bool:
        """Wait for a lookup, up to the timeout; return False if it has not ended."""
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = self._lookups[key] = _Lookup(asyncio.get_running_loop().create_future())
            self._queue.put(key, known=self._kept(name))
            self._start_lookups()
        lookup.waiters += 1
        try:
            async with asyncio.timeout(self._options.timeout):
                await asyncio.shield(lookup.ended)
        except TimeoutError:
            return False
        finally:
            lookup.waiters -= 1
            if not lookup.waiters and not lookup.running and self._queue.remove(key):
                del self._lookups[key]
        return True

    def _unanswered(self, key: Key, name: _Name) -> None:
        """Fall back on the last good answer; without one, do not look the name up again for a while.

        :raises DeliveryError: ``busy`` if the lookup has not begun.
        """
        lookup = self._lookups.get(key)
        if self._kept(name):
            name.failure = ""
        elif lookup is None or not lookup.running:
            raise DeliveryError("busy", "no thread was free to look up the host name", attempted=False)
        else:
            name.failure = f"the name servers did not answer within {self._options.timeout} s"
        name.fresh_until = self._monotonic() + self._options.failure_ttl

    def _kept(self, name: _Name) -> bool:
        return bool(name.answer) and self._monotonic() < name.kept_until

    def _start_lookups(self) -> None:
        while (key := self._queue.take()) is not None:
            self._lookups[key].running = True
            task = asyncio.get_running_loop().create_task(self._look_up(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _look_up(self, key: Key) -> None:
        name = self._name(key)
        try:
            found = await self._threads.run(self._getaddrinfo, key[1], None, type=socket.SOCK_STREAM)
            answer = list(dict.fromkeys((kind, proto, to[0]) for kind, _, proto, _, to in found))
        except (OSError, UnicodeError) as exc:
            self._failed(name, exc)
        except Exception as exc:  # noqa: BLE001 - one bad name must not stop the others
            self._failed(name, OSError(None, type(exc).__name__))
        else:
            now = self._monotonic()
            name.answer, name.failure = answer, ""
            name.fresh_until, name.kept_until = now + FRESH, now + self._options.keep
        finally:
            self._queue.finished(key)
            lookup = self._lookups.pop(key)
            lookup.ended.set_result(None)
            self._start_lookups()

    def _failed(self, name: _Name, error: Exception) -> None:
        name.unusable = isinstance(error, UnicodeError)
        gone = name.unusable or getattr(error, "errno", None) in NO_SUCH_NAME
        ttl = self._options.failure_ttl
        name.fresh_until = self._monotonic() + (min(ttl, NONE_FRESH) if gone else ttl)
        if self._kept(name) and not gone:
            return
        name.answer = []
        reason = getattr(error, "strerror", None)
        name.failure = (
            f"the host name cannot be resolved ({reason})" if reason else "the host name cannot be resolved"
        )
