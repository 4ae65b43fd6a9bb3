"""Events of libvirt, with its own test driver; and blocked calls that hold up nobody else, with a stand-in.

Left out where libvirt-python is not installed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from eventalarm.guest import events_of_libvirt as meaning
from eventalarm.guest.agent import Challenger
from eventalarm.guest.events_of_libvirt import DomainEvent, Kind
from eventalarm.guest.hypervisor import HypervisorUnavailable
from eventalarm.guest.metadata import GuestSettings
from eventalarm.guest.protocol import Silent
from tests.support.guests import domain_xml, instance_id

libvirt: Any = pytest.importorskip("libvirt", reason="libvirt-python is missing: pip install .[guest]")

GUEST = GuestSettings("i-1", "vm-1", "instance-1", "p-1", "m1", 10.0, 0.3, 2, False, True)


def test_the_numbers_are_those_of_libvirt() -> None:
    events = ("UNDEFINED", "STARTED", "SUSPENDED", "RESUMED", "STOPPED", "PMSUSPENDED", "CRASHED")
    assert {name: getattr(meaning, name) for name in events} == {
        name: getattr(libvirt, f"VIR_DOMAIN_EVENT_{name}") for name in events
    }
    stopped = ("SHUTDOWN", "DESTROYED", "CRASHED", "MIGRATED", "SAVED", "FAILED", "FROM_SNAPSHOT")
    assert [getattr(libvirt, f"VIR_DOMAIN_EVENT_STOPPED_{name}") for name in stopped] == list(
        meaning.STOPPED_REASONS
    )
    assert {2, 5} == meaning.CRASHES
    actions = ("NONE", "PAUSE", "RESET", "POWEROFF", "SHUTDOWN", "DEBUG", "INJECTNMI")
    assert [getattr(libvirt, f"VIR_DOMAIN_EVENT_WATCHDOG_{name}") for name in actions] == list(
        meaning.WATCHDOG_ACTIONS
    )
    disk = ("NONE", "PAUSE", "REPORT")
    assert [getattr(libvirt, f"VIR_DOMAIN_EVENT_IO_ERROR_{name}") for name in disk] == list(
        meaning.DISK_ACTIONS
    )
    agent = "VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_"
    assert getattr(libvirt, f"{agent}CONNECTED") == meaning.AGENT_CONNECTED
    assert getattr(libvirt, f"{agent}DISCONNECTED") == meaning.AGENT_DISCONNECTED


@pytest.mark.parametrize(
    ("event", "detail", "kind", "stops"),
    [
        (meaning.STOPPED, 5, Kind.CRASHED, True),
        (meaning.STOPPED, 2, Kind.CRASHED, True),
        (meaning.CRASHED, 0, Kind.CRASHED, False),
        (meaning.STOPPED, 1, Kind.STOPPED, True),
        (meaning.STOPPED, 3, Kind.STOPPED, True),
        (meaning.STOPPED, 99, Kind.STOPPED, True),
        (meaning.SUSPENDED, 2, Kind.PAUSED, False),
        (meaning.UNDEFINED, 0, Kind.REMOVED, False),
    ],
)
def test_only_an_unexpected_end_is_a_crash(event: int, detail: int, kind: Kind, stops: bool) -> None:
    found = meaning.lifecycle("i-1", event, detail)
    assert found is not None
    assert (found.kind, found.stops) == (kind, stops)


def test_events_without_meaning_are_ignored() -> None:
    assert meaning.lifecycle("i-1", 0, 0) is None
    assert meaning.agent("i-1", 7) is None
    assert meaning.watchdog("i-1", 99).details == {"action": "99"}
    assert len(meaning.disk_error("i-1", "p" * 999, "a", 1, "r" * 999).reason) < 300


def test_libvirt_lists_domains_and_reports_what_happens_to_them() -> None:
    """libvirt's test driver: no guest runs, but everything between it and the monitor is libvirt's own."""
    from eventalarm.guest.libvirt_hypervisor import LibvirtHypervisor  # noqa: PLC0415

    asyncio.run(_watch_the_test_driver(LibvirtHypervisor("test:///default", 4, 4096)))


async def _watch_the_test_driver(hypervisor: Any) -> None:
    seen: asyncio.Queue[DomainEvent] = asyncio.Queue()
    hypervisor.subscribe(seen.put_nowait)
    before = len(await hypervisor.domains())
    # The default test driver is one for all connections of a process.
    connection = libvirt.open("test:///default")
    xml = domain_xml("driver", specs={}).replace('type="qemu"', 'type="test"')
    domain = connection.defineXML(xml)
    try:
        domain.create()
        listed = await hypervisor.domains()
        assert len(listed) == before + 1
        assert [one.running for one in listed if instance_id("driver") in one.xml] == [True]
        domain.suspend()
        assert [one.running for one in await hypervisor.domains() if instance_id("driver") in one.xml] == [
            False
        ]
        domain.resume()
        domain.destroy()
        gone = [one for one in await hypervisor.domains() if instance_id("driver") in one.xml]
        assert [(one.running, one.active) for one in gone] == [(False, False)]
    finally:
        domain.undefine()
        connection.close()
    found = [await asyncio.wait_for(seen.get(), 10) for _ in range(5)]
    kinds = [Kind.STARTED, Kind.PAUSED, Kind.RESUMED, Kind.STOPPED, Kind.REMOVED]
    assert [one.kind for one in found] == kinds
    assert {one.instance_id for one in found} == {instance_id("driver")}
    hypervisor.close()


def test_a_hypervisor_that_does_not_answer_is_not_a_silent_guest() -> None:
    from eventalarm.guest.libvirt_hypervisor import LibvirtHypervisor  # noqa: PLC0415

    hypervisor = LibvirtHypervisor("qemu:///session?socket=/nowhere/socket", 4, 4096)
    with pytest.raises(HypervisorUnavailable, match="libvirt at qemu:"):
        asyncio.run(hypervisor.domains())
    hypervisor.close()


class StandIn:
    """A stand-in for libvirt, whose calls to the guests in *hung* block until *released*."""

    VIR_ERR_NO_DOMAIN = libvirt.VIR_ERR_NO_DOMAIN
    libvirtError = libvirt.libvirtError  # noqa: N815

    def __init__(self, hung: set[str]) -> None:
        self._hung = hung
        self.released = threading.Event()

    def open(self, _uri: str) -> Any:
        domain = lambda name: name  # noqa: E731
        return SimpleNamespace(lookupByUUIDString=domain, isAlive=lambda: True, setKeepAlive=lambda *_: None)

    def qemuAgentCommand(self, domain: str, text: str, timeout: int, flags: int) -> str:  # noqa: N802
        del text, timeout, flags
        if domain in self._hung:
            self.released.wait(30)
        return '{"return": {}}'


def transport(stand_in: StandIn, workers: int) -> Any:
    from eventalarm.guest.libvirt_hypervisor import LibvirtTransport  # noqa: PLC0415

    return LibvirtTransport(stand_in, stand_in, "x", workers=workers, limit=4096)


async def _outcome(challenger: Challenger, name: str, *, suspect: bool) -> str:
    try:
        await challenger.challenge(dataclasses.replace(GUEST, instance_id=name), suspect=suspect)
    except Silent as exc:
        return str(exc)
    return "ok"


def test_silent_guests_never_hold_up_others() -> None:
    """Red if all guests share the threads: a libvirt that blocks longer than it should blocks them all."""
    hung = {f"hung-{number}" for number in range(20)}
    stand_in = StandIn(hung)
    agents = transport(stand_in, 4)
    challenger = Challenger(agents, [], 1.0)

    async def story() -> tuple[list[str], list[str], float]:
        suspects = [asyncio.create_task(_outcome(challenger, name, suspect=True)) for name in sorted(hung)]
        await asyncio.sleep(0)
        began = time.monotonic()
        well = (_outcome(challenger, f"well-{one}", suspect=False) for one in range(50))
        try:
            healthy = await asyncio.wait_for(asyncio.gather(*well), 5)
        except TimeoutError:
            stand_in.released.set()
            raise
        lasted = time.monotonic() - began
        first = [await suspects[0], await suspects[1], await _outcome(challenger, "hung-0", suspect=True)]
        stand_in.released.set()
        assert set(await asyncio.gather(*suspects[2:])) == {"ok"}
        return healthy, first, lasted

    healthy, first, lasted = asyncio.run(story())
    assert set(healthy) == {"ok"}
    assert lasted < 1.0
    silent = "no answer within 0.3 s"
    assert first == [silent, silent, "no answer yet to the challenge before"]
    agents.close()


def test_the_wait_of_a_guest_for_a_thread_does_not_count() -> None:
    """Red if the timeout begins before a thread is free: healthy guests would be lost."""
    stand_in = StandIn({"hung"})
    agents = transport(stand_in, 2)
    challenger = Challenger(agents, [], 1.0)

    async def story() -> list[str]:
        hung = asyncio.create_task(_outcome(challenger, "hung", suspect=False))
        await asyncio.sleep(0)
        behind = asyncio.create_task(_outcome(challenger, "well", suspect=False))
        outcome = await hung
        # The thread is still blocked, and the guest behind has waited longer than its timeout.
        await asyncio.sleep(0.4)
        assert not behind.done()
        stand_in.released.set()
        return [outcome, await behind]

    assert asyncio.run(story()) == ["no answer within 0.3 s", "ok"]
    agents.close()
