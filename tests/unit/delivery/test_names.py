"""Host names with a name server that the test answers for."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventalarm.delivery.names import PROJECT, Key, LookupQueue, Names
from eventalarm.delivery.options import NameOptions
from eventalarm.exceptions import DeliveryError


def take_all(queue: LookupQueue) -> list[Key]:
    taken = []
    while (key := queue.take()) is not None:
        taken.append(key)
    return taken


def test_one_project_leaves_half_of_the_lookups_to_others() -> None:
    queue = LookupQueue(64)
    for number in range(150):
        queue.put(("dead", f"h{number}"), known=False)
    assert len(take_all(queue)) == 24
    for number in range(20):
        queue.put(("healthy", f"h{number}"), known=False)
    assert len(take_all(queue)) == 12


def test_names_that_resolved_before_have_a_reserve() -> None:
    queue = LookupQueue(64)
    for project in "abcdefgh":
        for number in range(50):
            queue.put((project, f"h{number}"), known=False)
        take_all(queue)
    queue.put(("healthy", "new"), known=False)
    queue.put(("healthy", "known"), known=True)
    assert take_all(queue) == [("healthy", "known")]


def test_free_lookups_go_to_the_projects_with_the_fewest() -> None:
    queue = LookupQueue(8)
    for number in range(50):
        queue.put(("dead", f"h{number}"), known=False)
    running = take_all(queue)
    queue.put(("healthy", "a"), known=False)
    queue.put(("healthy", "b"), known=False)
    assert ("healthy", "a") in take_all(queue)
    queue.finished(running[0])
    assert take_all(queue) == [("healthy", "b")] or take_all(queue) == []


def test_abandoned_lookups_are_removed() -> None:
    queue = LookupQueue(8)
    queue.put(("p", "a"), known=False)
    queue.put(("p", "b"), known=True)
    assert queue.remove(("p", "a"))
    assert not queue.remove(("p", "a"))
    assert take_all(queue) == [("p", "b")]
    assert not queue.remove(("p", "b"))


MakeNames = Callable[..., Names]
QUICK = 0.05
LONG = 30.0
ADDRESS = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]


class NameServer:
    """Answers with an address, with an error, or, for names that begin with dead, when the test ends."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.dead: dict[str, bool] = {}
        self.ended = threading.Event()

    def __call__(self, host: str, port: int | None, **hints: Any) -> list[Any]:
        self.asked.append(host)
        if host.startswith("dead") or self.dead.get(host):
            self.ended.wait(LONG)
        if host in self.errors:
            raise self.errors[host]
        return ADDRESS


@pytest.fixture
def server() -> Iterator[NameServer]:
    made = NameServer()
    yield made
    made.ended.set()


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


@pytest.fixture
def make_names(server: NameServer, clock: list[float]) -> MakeNames:
    def make(**fields: Any) -> Names:
        options = NameOptions(**{"timeout": LONG, **fields})
        return Names(options, monotonic=lambda: clock[0], getaddrinfo=server)

    return make


async def addresses(names: Names, host: str, project: str = "p") -> list[str]:
    PROJECT.set(project)
    await names.prepare(host)
    return [found["host"] for found in await names.resolve(host, 80)]


async def wait_for(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LONG):
        while not condition():
            await asyncio.sleep(0.001)


async def error(names: Names, host: str, project: str = "p") -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await addresses(names, host, project)
    return caught.value


def test_an_answer_is_used_for_a_while_and_then_asked_for_again(
    make_names: MakeNames, server: NameServer, clock: list[float]
) -> None:
    async def play() -> None:
        names = make_names()
        assert await addresses(names, "h") == ["192.0.2.1"]
        assert await addresses(names, "h") == ["192.0.2.1"]
        assert server.asked == ["h"]
        clock[0] += 11
        await addresses(names, "h")
        assert server.asked == ["h", "h"]

    asyncio.run(play())


def test_concurrent_requests_for_a_name_share_one_lookup(make_names: MakeNames, server: NameServer) -> None:
    async def play() -> None:
        names = make_names()
        await asyncio.gather(*(addresses(names, "h") for _ in range(50)))
        assert server.asked == ["h"]

    asyncio.run(play())


def test_an_address_is_not_looked_up(make_names: MakeNames, server: NameServer) -> None:
    async def play() -> None:
        for address in ("192.0.2.7", "2001:db8::1", "2130706433"):
            await make_names().prepare(address)
        assert server.asked == []

    asyncio.run(play())


def test_the_hosts_file_counts() -> None:
    async def play() -> None:
        assert "127.0.0.1" in await addresses(Names(NameOptions()), "localhost")

    asyncio.run(play())


def test_a_failed_name_is_not_looked_up_for_a_while(
    make_names: MakeNames, server: NameServer, clock: list[float]
) -> None:
    server.errors["h"] = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    async def play() -> None:
        names = make_names(failure_ttl=5.0)
        first = await error(names, "h")
        assert (first.reason, first.attempted, first.retry_after) == ("dns", True, 5.0)
        clock[0] += 2
        assert (await error(names, "h")).retry_after == 3.0
        assert server.asked == ["h"]
        clock[0] += 4
        server.errors.clear()
        assert await addresses(names, "h") == ["192.0.2.1"]

    asyncio.run(play())


def test_the_last_good_answer_is_used_while_name_servers_do_not_answer(
    make_names: MakeNames, server: NameServer, clock: list[float]
) -> None:
    async def play() -> None:
        names = make_names(timeout=QUICK, keep=3600.0)
        await addresses(names, "h")
        clock[0] += 60
        server.errors["h"] = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        assert await addresses(names, "h") == ["192.0.2.1"]
        clock[0] += 60
        server.dead["h"] = True
        assert await addresses(names, "h") == ["192.0.2.1"]
        clock[0] += 3600
        assert (await error(names, "h")).reason == "dns"

    asyncio.run(play())


def test_a_deleted_name_fails(make_names: MakeNames, server: NameServer, clock: list[float]) -> None:
    async def play() -> None:
        names = make_names()
        await addresses(names, "h")
        clock[0] += 60
        server.errors["h"] = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        assert (await error(names, "h")).reason == "dns"
        # It may be there again soon, and asking costs little.
        assert (await error(names, "h")).retry_after == 1.0

    asyncio.run(play())


def test_dead_name_servers_of_one_project_do_not_affect_another(
    make_names: MakeNames, server: NameServer
) -> None:
    async def play() -> None:
        names = make_names(threads=16)
        for number in range(150):
            asyncio.create_task(error(names, f"dead{number}", "greedy"))  # noqa: RUF006 - ends with the loop
        await wait_for(lambda: len(server.asked) == 6)
        for number in range(20):
            assert await addresses(names, f"healthy{number}", "healthy") == ["192.0.2.1"]
        assert len([name for name in server.asked if name.startswith("dead")]) == 6
        server.ended.set()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    asyncio.run(play())


def test_a_lookup_without_a_free_thread_is_no_attempt(make_names: MakeNames, server: NameServer) -> None:
    async def play() -> None:
        names = make_names(threads=4, timeout=QUICK)
        taken = [asyncio.create_task(error(names, f"dead{number}")) for number in range(3)]
        assert sorted([(await one).reason for one in taken]) == ["busy", "dns", "dns"]
        late = await error(names, "h")
        assert (late.reason, late.attempted) == ("busy", False)
        # Nothing waits for a name that nobody asks for any more.
        server.ended.set()
        await wait_for(lambda: not names._lookups)
        assert "h" not in server.asked
        assert await addresses(names, "h") == ["192.0.2.1"]

    asyncio.run(play())


@pytest.mark.parametrize("host", ["x" * 64 + ".example", "\udcff.example", "a..b"])
def test_an_invalid_name_is_a_permanent_failure(host: str) -> None:
    async def play() -> None:
        found = await error(Names(NameOptions()), host)
        assert (found.reason, found.permanent) == ("bad_action", True)

    asyncio.run(play())


def test_several_addresses_are_used_in_turn(make_names: MakeNames, clock: list[float]) -> None:
    both = [*ADDRESS, (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 0, 0, 0))]

    async def play() -> None:
        names = Names(NameOptions(), getaddrinfo=lambda *args, **hints: both)
        assert await addresses(names, "h") == ["192.0.2.1", "2001:db8::1"]
        assert await addresses(names, "h") == ["2001:db8::1", "192.0.2.1"]

    asyncio.run(play())
