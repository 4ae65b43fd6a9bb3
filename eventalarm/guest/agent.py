"""Challenges of a guest through its agent: one conversation, over a socket or through libvirt.

A :class:`Transport` carries the commands; the owner of the agent's socket decides which one is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from eventalarm.guest import protocol
from eventalarm.guest.metadata import GuestSettings
from eventalarm.guest.protocol import Health, Silent

# Seconds between two questions whether the health command has ended; each is twice as long as the one before.
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0
CHUNK: Final = 65536


class Conversation(Protocol):
    """Commands to one guest agent, one after the other."""

    async def command(self, name: str, timeout: float, **arguments: Any) -> Any:
        """Return what the command returns; *timeout* is in seconds.

        :raises Silent: when the guest does not answer in time or not as a guest agent does.
        """
        ...


class Transport(Protocol):
    """Reaches guest agents."""

    def converse(
        self, guest: GuestSettings, timeout: float, *, suspect: bool
    ) -> AbstractAsyncContextManager[Conversation]:
        """Begin a conversation; *suspect* guests have not answered the last time, and may wait for others.

        Only the guest's own time counts: *timeout* begins when it is its turn.

        :raises Silent: when there is nobody to talk to.
        """
        ...


class Challenger:
    """Asks a guest whether it answers, and runs the health command.

    :param health_command: its words; empty for none.
    :param health_timeout: seconds for it.
    """

    def __init__(self, transport: Transport, health_command: Sequence[str], health_timeout: float) -> None:
        self._transport = transport
        self._health_command = tuple(health_command)
        self._health_timeout = health_timeout

    async def challenge(self, guest: GuestSettings, *, suspect: bool) -> Health | None:
        """Return the guest's health, or None if it answered and no health command is run there.

        :raises Silent: when it did not answer.
        """
        async with self._transport.converse(guest, guest.timeout, suspect=suspect) as agent:
            await agent.command("guest-ping", guest.timeout)
            if not self._health_command or not guest.health:
                return None
            return await self._health(agent, guest.timeout)

    async def _health(self, agent: Conversation, timeout: float) -> Health:
        """Run the health command; what fails here is the guest's health, since it has answered already."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._health_timeout
        pause = FIRST_PAUSE
        try:
            arguments = protocol.exec_arguments(self._health_command)
            started = protocol.process_id(await agent.command("guest-exec", timeout, **arguments))
            while loop.time() < deadline:
                found = protocol.health(await agent.command("guest-exec-status", timeout, pid=started))
                if found is not None:
                    return found
                await asyncio.sleep(min(pause, max(0.0, deadline - loop.time())))
                pause = min(2 * pause, LONGEST_PAUSE)
        except Silent as exc:
            return Health(False, None, str(exc))
        return Health(False, None, f"the health command did not end within {self._health_timeout:g} s")


class SocketTransport:
    """Talks to agents on unix sockets, on which nobody else does.

    :param limit: the maximum size of a response, in bytes.
    :param numbers: numbers for the synchronization.
    """

    def __init__(self, limit: int, numbers: random.Random | None = None) -> None:
        self._limit = limit
        self._numbers = itertools.count((numbers or random.Random()).randrange(1 << 30))  # noqa: S311

    @contextlib.asynccontextmanager
    async def converse(
        self, guest: GuestSettings, timeout: float, *, suspect: bool
    ) -> AsyncIterator[Conversation]:
        """Connect, and skip what an earlier client left unread."""
        del suspect  # Sockets do not share threads.
        if not guest.socket:
            raise Silent("the guest has no socket for its agent")
        try:
            with socket.socket(socket.AF_UNIX) as connected:
                connected.setblocking(False)
                talk = _SocketConversation(connected, self._limit)
                async with asyncio.timeout(timeout):
                    await talk.begin(guest.socket, next(self._numbers))
                yield talk
        except TimeoutError as exc:
            raise Silent(f"no answer within {timeout:g} s") from exc
        except OSError as exc:
            raise Silent(_cause(exc)) from exc


class _SocketConversation:
    def __init__(self, connected: socket.socket, limit: int) -> None:
        self._socket = connected
        self._reader = protocol.Reader(limit)
        self._loop = asyncio.get_running_loop()

    async def begin(self, path: str, number: int) -> None:
        await self._loop.sock_connect(self._socket, path)
        await self._loop.sock_sendall(self._socket, protocol.sync_request(number))
        while not self._reader.synchronized(number):
            await self._receive()

    async def command(self, name: str, timeout: float, **arguments: Any) -> Any:
        try:
            async with asyncio.timeout(timeout):
                await self._loop.sock_sendall(self._socket, protocol.request(name, **arguments))
                while (found := self._reader.response()) is None:
                    await self._receive()
        except TimeoutError as exc:
            raise Silent(f"no answer to {name} within {timeout:g} s") from exc
        except OSError as exc:
            raise Silent(_cause(exc)) from exc
        return found

    async def _receive(self) -> None:
        data = await self._loop.sock_recv(self._socket, CHUNK)
        if not data:
            raise Silent("the agent closed the connection")
        self._reader.feed(data)


def _cause(exc: OSError) -> str:
    said = exc.strerror or str(exc)
    return f"the agent cannot be reached: {said.lower()}"
