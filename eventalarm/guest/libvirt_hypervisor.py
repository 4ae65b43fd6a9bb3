"""Libvirt, which is imported when it is used: domains, their events, and the agents whose sockets it owns.

A call of libvirt blocks its thread. Commands to agents have threads of their own, half of them for guests
that answered the last time, so that silent guests keep neither these nor the listing waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from eventalarm.exceptions import InvalidOption
from eventalarm.guest import events_of_libvirt as meaning
from eventalarm.guest import protocol
from eventalarm.guest.agent import Conversation, Transport
from eventalarm.guest.events_of_libvirt import DomainEvent
from eventalarm.guest.hypervisor import Domain, HypervisorUnavailable, OnEvent
from eventalarm.guest.metadata import GuestSettings
from eventalarm.guest.protocol import Silent

LOG = logging.getLogger(__name__)

# Seconds between the questions of libvirt whether the connection still exists, and how many may be missed.
KEEPALIVE: Final = (5, 3)
# Milliseconds between two looks of the thread of events whether it shall end.
EVENT_TICK: Final = 500


def load() -> tuple[Any, Any]:
    """Return the modules of libvirt.

    :raises InvalidOption: when they are not installed.
    """
    try:
        import libvirt  # noqa: PLC0415 - part of an extra
        import libvirt_qemu  # noqa: PLC0415
    except ImportError as exc:
        raise InvalidOption(
            "[eventalarm_guest] uri", "needs libvirt-python", "pip install 'eventalarm[guest]'"
        ) from exc
    # It would print every error to stderr.
    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt, libvirt_qemu


class LibvirtHypervisor:
    """Guests of libvirt at *uri*; *workers* threads ask agents for responses of at most *limit* bytes."""

    def __init__(self, uri: str, workers: int, limit: int) -> None:
        self._libvirt, libvirt_qemu = load()
        self._uri = uri
        self._events = _EventThread(self._libvirt)
        # One thread, so that no two threads use or replace the connection.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="libvirt")
        self._connection: Any = None
        self._on_event: OnEvent | None = None
        self._descriptions: dict[tuple[str, int], str] = {}
        self._agents = LibvirtTransport(self._libvirt, libvirt_qemu, uri, workers=workers, limit=limit)
        self.transport: Transport = self._agents

    async def domains(self) -> list[Domain]:
        """Return all domains; connects to libvirt, and subscribes to events again, where that is needed."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._domains)

    def subscribe(self, on_event: OnEvent) -> None:
        """Call *on_event* in the present event loop for each event after the next listing."""
        loop = asyncio.get_running_loop()

        def forward(event: DomainEvent) -> None:
            with contextlib.suppress(RuntimeError):  # The loop has ended.
                loop.call_soon_threadsafe(on_event, event)

        self._on_event = forward

    def close(self) -> None:
        """End all connections; a call that still waits for a guest is not waited for."""
        self._agents.close()
        self._pool.submit(self._disconnect)
        self._pool.shutdown(wait=True)
        self._events.stop()

    def _domains(self) -> list[Domain]:
        try:
            connection = self._connected()
            running = {
                one.UUIDString()
                for one in connection.listAllDomains(self._libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING)
            }
            descriptions, found = {}, []
            for one in connection.listAllDomains(0):
                key = one.UUIDString(), one.ID()
                with contextlib.suppress(self._libvirt.libvirtError):  # It was removed meanwhile.
                    xml = self._descriptions.get(key) or one.XMLDesc(0)
                    descriptions[key] = xml
                    found.append(Domain(xml, key[0] in running, key[1] >= 0))
        except self._libvirt.libvirtError as exc:
            self._disconnect()
            raise HypervisorUnavailable(f"libvirt at {self._uri}: {exc}") from exc
        self._descriptions = descriptions
        return found

    def _connected(self) -> Any:
        if self._connection is not None and not self._connection.isAlive():
            self._disconnect()
        if self._connection is None:
            self._events.start()
            connection = self._libvirt.open(self._uri)
            _set_keepalive(self._libvirt, connection)
            self._connection = connection
            self._register(connection)
            LOG.info("Connected to libvirt at %s", self._uri)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._descriptions = {}
        if connection is not None:
            with contextlib.suppress(self._libvirt.libvirtError):
                connection.close()

    def _register(self, connection: Any) -> None:
        on_event = self._on_event
        if on_event is None:
            return

        def report(mean: Callable[..., DomainEvent | None]) -> Callable[..., None]:
            def callback(_connection: Any, domain: Any, *arguments: Any) -> None:
                if (event := mean(domain.UUIDString(), *arguments[:-1])) is not None:
                    on_event(event)

            return callback

        callbacks: dict[str, Callable[..., DomainEvent | None]] = {
            "LIFECYCLE": meaning.lifecycle,
            "REBOOT": meaning.reboot,
            "WATCHDOG": meaning.watchdog,
            "IO_ERROR_REASON": meaning.disk_error,
            "AGENT_LIFECYCLE": lambda instance_id, state, _reason: meaning.agent(instance_id, state),
        }
        for name, mean in callbacks.items():
            number = getattr(self._libvirt, f"VIR_DOMAIN_EVENT_ID_{name}")
            try:
                connection.domainEventRegisterAny(None, number, report(mean), None)
            except self._libvirt.libvirtError as exc:
                LOG.warning("libvirt at %s does not report events of type %s: %s", self._uri, name, exc)


def _set_keepalive(libvirt: Any, connection: Any) -> None:
    # Drivers inside this process, such as libvirt's test driver, have no connection to keep.
    with contextlib.suppress(libvirt.libvirtError):
        connection.setKeepAlive(*KEEPALIVE)


class _EventThread:
    """Runs libvirt's event loop; it exists once in a process and must exist before the first connection."""

    def __init__(self, libvirt: Any) -> None:
        self._libvirt = libvirt
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        libvirt.virEventRegisterDefaultImpl()

    def start(self) -> None:
        if self._thread is None:
            # The loop waits for this timer at most.
            self._libvirt.virEventAddTimeout(EVENT_TICK, lambda *_: None, None)
            self._thread = threading.Thread(target=self._run, name="libvirt-events", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._libvirt.virEventRunDefaultImpl() < 0:
                self._stopping.wait(EVENT_TICK / 1000)

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5)


class LibvirtTransport:
    """Talks to guest agents through libvirt, which synchronizes with them itself."""

    def __init__(self, libvirt: Any, libvirt_qemu: Any, uri: str, *, workers: int, limit: int) -> None:
        self._libvirt = libvirt
        self._libvirt_qemu = libvirt_qemu
        self._uri = uri
        self._limit = limit
        self._local = threading.local()
        self._busy: set[str] = set()
        half = workers // 2
        self._prompt = ThreadPoolExecutor(workers - half, thread_name_prefix="agent")
        self._suspect = ThreadPoolExecutor(half, thread_name_prefix="suspect")

    @contextlib.asynccontextmanager
    async def converse(
        self, guest: GuestSettings, timeout: float, *, suspect: bool
    ) -> AsyncIterator[Conversation]:
        """Begin a conversation, unless a call to the same guest still blocks a thread."""
        del timeout  # Each command has its own.
        if guest.instance_id in self._busy:
            raise Silent("no answer yet to the challenge before")
        yield _LibvirtConversation(self, guest.instance_id, self._suspect if suspect else self._prompt)

    async def run(self, pool: ThreadPoolExecutor, instance_id: str, text: str, timeout: float) -> Any:
        """Return what the agent returns; the time that the call waits for a thread does not count."""
        loop = asyncio.get_running_loop()
        begun = asyncio.Event()
        self._busy.add(instance_id)

        def call() -> str:
            with contextlib.suppress(RuntimeError):  # The loop has ended.
                loop.call_soon_threadsafe(begun.set)
            return self._call(instance_id, text, math.ceil(timeout))

        future = loop.run_in_executor(pool, call)
        future.add_done_callback(lambda done: self._ended(instance_id, done))
        await begun.wait()
        done, _ = await asyncio.wait({future}, timeout=timeout)
        if not done:
            raise Silent(f"no answer within {timeout:g} s")
        said = future.result()
        if len(said) > self._limit:
            raise Silent(f"the response is larger than {self._limit} bytes")
        return protocol.returned(said)

    def _ended(self, instance_id: str, done: asyncio.Future[str]) -> None:
        self._busy.discard(instance_id)
        if not done.cancelled():
            done.exception()  # Nobody may be waiting for it.

    def _call(self, instance_id: str, text: str, timeout: int) -> str:
        """Run a command in a thread that has a connection of its own."""
        libvirt = self._libvirt
        connection: Any = getattr(self._local, "connection", None)
        try:
            if connection is None or not connection.isAlive():
                connection = self._local.connection = libvirt.open(self._uri)
                _set_keepalive(libvirt, connection)
            domain = connection.lookupByUUIDString(instance_id)
        except libvirt.libvirtError as exc:
            if exc.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                raise Silent("the domain does not exist") from exc
            raise HypervisorUnavailable(f"libvirt at {self._uri}: {exc}") from exc
        try:
            return str(self._libvirt_qemu.qemuAgentCommand(domain, text, timeout, 0))
        except libvirt.libvirtError as exc:
            if not connection.isAlive():
                raise HypervisorUnavailable(f"libvirt at {self._uri}: {exc}") from exc
            raise Silent(str(exc)[: protocol.LONGEST_REASON]) from exc

    def close(self) -> None:
        """Start no further calls."""
        for pool in (self._prompt, self._suspect):
            pool.shutdown(wait=False, cancel_futures=True)


class _LibvirtConversation:
    def __init__(self, transport: LibvirtTransport, instance_id: str, pool: ThreadPoolExecutor) -> None:
        self._transport = transport
        self._instance_id = instance_id
        self._pool = pool

    async def command(self, name: str, timeout: float, **arguments: Any) -> Any:
        text = protocol.request_text(name, **arguments)
        return await self._transport.run(self._pool, self._instance_id, text, timeout)
