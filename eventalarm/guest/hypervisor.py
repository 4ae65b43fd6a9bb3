"""What the monitor asks of a hypervisor, and the hypervisor of trials: a directory of domains."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Protocol

from eventalarm.exceptions import EventAlarmError
from eventalarm.guest.agent import Transport
from eventalarm.guest.events_of_libvirt import DomainEvent

OnEvent = Callable[[DomainEvent], None]


class HypervisorUnavailable(EventAlarmError):
    """The hypervisor did not answer; nothing is known about its guests meanwhile."""


@dataclasses.dataclass(frozen=True, slots=True)
class Domain:
    """A domain; *running* is False while it is paused or stopped, *active* only while it is stopped."""

    xml: str
    running: bool
    active: bool = True


class Hypervisor(Protocol):
    """Lists domains and reports what happens to them; the methods raise HypervisorUnavailable."""

    transport: Transport

    async def domains(self) -> list[Domain]:
        """Return all domains, also those that are stopped."""
        ...

    def subscribe(self, on_event: OnEvent) -> None:
        """Call *on_event* in the event loop of the caller for each event from now on."""
        ...

    def close(self) -> None:
        """End all connections."""
        ...


class Directory:
    """A directory with a file ``NAME.xml`` for each domain, all of which run. It reports no events."""

    def __init__(self, path: pathlib.Path, transport: Transport) -> None:
        self._path = path
        self.transport = transport

    async def domains(self) -> list[Domain]:
        """Return the domains of all files."""
        try:
            return [Domain(one.read_text(), running=True) for one in sorted(self._path.glob("*.xml"))]
        except (OSError, UnicodeDecodeError) as exc:
            raise HypervisorUnavailable(f"{self._path}: {exc}") from exc

    def subscribe(self, on_event: OnEvent) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
