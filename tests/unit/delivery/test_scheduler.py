from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from eventalarm.delivery.queues import SUSPECT, Call
from eventalarm.delivery.scheduler import Scheduler
from eventalarm.delivery.senders.base import Destination
from tests.support.deliveries import make_call

PLENTY = 1 << 30


def make_scheduler(capacity: int, concurrency: int, max_bytes: int = PLENTY) -> Scheduler:
    return Scheduler(capacity, concurrency, max_bytes)


def fill(
    scheduler: Scheduler, host: str, count: int, limit: int = 16, project: str = "p", **fields: Any
) -> list[Call]:
    calls = [make_call(host, limit, project_id=project, **fields) for _ in range(count)]
    return [call for call in calls if scheduler.put(call)]


def take_all(scheduler: Scheduler) -> list[Call]:
    taken = []
    while (call := scheduler.take()) is not None:
        taken.append(call)
    return taken


def prove(scheduler: Scheduler, host: str, project: str = "p") -> None:
    """Let one call to *host* end promptly."""
    fill(scheduler, host, 1, project=project)
    call = scheduler.take()
    assert call is not None
    assert call.destination.host == host
    scheduler.finished(call, prompt=True)
    scheduler.forget(call)


def hosts(calls: Iterable[Call]) -> set[str]:
    return {call.destination.host for call in calls}


def hosts_of(calls: Iterable[Call]) -> list[str]:
    return [call.destination.host for call in calls]


def key(call: Call) -> tuple[str, Destination]:
    return call.delivery.project_id, call.destination


def projects(calls: Iterable[Call]) -> collections.Counter[str]:
    return collections.Counter(call.delivery.project_id for call in calls)


def test_one_destination_leaves_in_order_up_to_its_limit() -> None:
    scheduler = make_scheduler(1000, 100)
    calls = fill(scheduler, "a", 20, limit=3)
    assert take_all(scheduler) == calls[:3]
    scheduler.finished(calls[1], prompt=True)
    assert take_all(scheduler) == calls[3:4]


def test_slow_destinations_leave_calls_for_another() -> None:
    scheduler = make_scheduler(10000, 200)
    for number in range(20):
        fill(scheduler, f"slow{number}", 300)
    slow = take_all(scheduler)
    assert len(slow) == 72
    fill(scheduler, "new", 5)
    assert hosts(take_all(scheduler)) == {"new"}


def test_hundreds_of_slow_destinations_do_not_delay_known_good_ones() -> None:
    scheduler = make_scheduler(10000, 400)
    prove(scheduler, "good")
    for number in range(600):
        fill(scheduler, f"slow{number}", 3)
    slow = take_all(scheduler)
    assert len(slow) == 150  # the share of one project in what is not reserved
    fill(scheduler, "new", 1)
    assert take_all(scheduler) == []
    fill(scheduler, "good", 10)
    assert len(take_all(scheduler)) == 10
    # A slow answer costs the privilege.
    fill(scheduler, "good", 1)
    call = scheduler.take()
    assert call is not None
    scheduler.finished(call, prompt=False)
    fill(scheduler, "good", 1)
    assert scheduler.take() is None


def test_memory_is_bounded_and_no_destination_takes_all_of_it() -> None:
    scheduler = make_scheduler(100, 10)
    assert len(fill(scheduler, "a", 200)) == 34
    assert scheduler.full("p", make_call("a").destination)
    assert not scheduler.full("p", make_call("b").destination)
    assert len(fill(scheduler, "b", 200)) == 11
    assert not scheduler.full("p")


def test_memory_is_bounded_and_no_project_takes_all_of_it() -> None:
    scheduler = make_scheduler(100, 10)
    held = [len([n for n in range(200) if fill(scheduler, f"h{n}", 1, project=p)]) for p in "abc"]
    assert held == [50, 25, 13]
    assert scheduler.full("a")
    assert not scheduler.full("d")


def test_memory_is_bounded_in_bytes_too() -> None:
    scheduler = make_scheduler(10_000, 10, max_bytes=1_000_000)
    assert len(fill(scheduler, "a", 20, body="x" * 100_000)) == 5
    assert scheduler.full("p") is True
    assert len(fill(scheduler, "b", 20, project="q", body="x" * 100_000)) == 2
    # What is larger than everything is sent alone.
    scheduler = make_scheduler(10_000, 10, max_bytes=1_000_000)
    (call,) = fill(scheduler, "a", 2, body="x" * 2_000_000)
    assert take_all(scheduler) == [call]


def test_bytes_under_way_are_shared_between_projects() -> None:
    scheduler = make_scheduler(10_000, 100, max_bytes=4_000_000)
    for n in range(16):
        fill(scheduler, f"h{n}", 1, body="x" * 100_000)
    taken = take_all(scheduler)
    assert len(taken) == 16
    scheduler = make_scheduler(10_000, 100, max_bytes=1_000_000)
    for n in range(9):
        fill(scheduler, f"h{n}", 1, body="x" * 100_000)
    assert len(take_all(scheduler)) == 5
    fill(scheduler, "small", 1, project="q", body="x")
    assert projects(take_all(scheduler)) == {"q": 1}


def test_an_event_counts_once_for_any_number_of_deliveries() -> None:
    text = '{"a": "' + "x" * 1_000_000 + '"}'
    notification = dataclasses.replace(make_call("a").delivery.notification, event_json=text)
    scheduler = make_scheduler(10_000, 10, max_bytes=20_000_000)
    calls = [call for n in range(500) for call in fill(scheduler, f"h{n}", 1, notification=notification)]
    assert len(calls) == 500
    for call in scheduler.clear():
        scheduler.forget(call)
    assert scheduler.held.free_bytes() == 20_000_000


# ---- projects


def test_a_project_with_hundreds_of_hung_destinations_leaves_half_of_the_calls() -> None:
    scheduler = make_scheduler(10_000, 400)
    for number in range(1500):
        fill(scheduler, f"hung{number}", 2, project="greedy")
    assert len(take_all(scheduler)) == 150
    fill(scheduler, "new", 5, project="healthy")
    assert projects(take_all(scheduler)) == {"healthy": 5}


def test_free_calls_go_to_the_projects_with_the_fewest() -> None:
    scheduler = make_scheduler(100_000, 400)
    taken = []
    for name in "abcdefghij":
        for number in range(300):
            fill(scheduler, f"{name}{number}", 1, project=name)
        taken += take_all(scheduler)
    fill(scheduler, "new", 1, project="healthy")
    for call in taken[:4]:
        scheduler.finished(call, prompt=False)
    assert projects(take_all(scheduler))["healthy"] == 1


def test_projects_share_what_is_free_in_turn() -> None:
    scheduler = make_scheduler(10_000, 100)
    for name in "ab":
        for number in range(100):
            fill(scheduler, f"{name}{number}", 1, project=name)
    counts = projects(take_all(scheduler))
    assert abs(counts["a"] - counts["b"]) <= 1


def test_a_destination_is_called_by_several_projects_up_to_its_total() -> None:
    scheduler = make_scheduler(10_000, 400)
    for name in "abcdef":
        assert fill(scheduler, "shared", 10, limit=2, project=name)
    taken = take_all(scheduler)
    assert len(taken) == 8
    assert set(projects(taken)) == set("abcdef")
    waiting = {name for name, calls in projects(taken).items() if calls == 1}
    for call in taken:
        scheduler.finished(call, prompt=True)
    again = take_all(scheduler)
    assert len(again) == 8
    assert waiting <= set(projects(again))


def test_good_destinations_that_hang_at_the_same_moment_do_not_delay_another() -> None:
    """Even if they had taken every call, and the reserve, before one of them was known to be slow."""
    scheduler = make_scheduler(10000, 40)
    for number in range(60):
        prove(scheduler, f"hung{number}", f"p{number}")
    prove(scheduler, "good", "good")
    for number in range(60):
        fill(scheduler, f"hung{number}", 3, project=f"p{number}")
    hung = take_all(scheduler)
    assert len(hung) == 40
    fill(scheduler, "good", 4, project="good")
    for call in hung:
        scheduler.overdue(call)
    assert projects(take_all(scheduler))["good"] >= 1


def test_calls_that_are_overdue_are_limited_in_total() -> None:
    scheduler = make_scheduler(10000, 40)
    for number in range(300):
        prove(scheduler, f"hung{number}", f"p{number}")
    for number in range(300):
        fill(scheduler, f"hung{number}", 1, project=f"p{number}")
    held = []
    while taken := take_all(scheduler):
        held += taken
        for call in taken:
            scheduler.overdue(call)
    assert len(held) == 80
    for call in held:
        scheduler.finished(call, prompt=False)
        scheduler.forget(call)
    assert len(take_all(scheduler)) == 40


def test_a_project_leaves_room_among_the_overdue_calls() -> None:
    """A project whose own destinations hang at once cannot use up what others need."""
    scheduler = make_scheduler(10000, 40)
    for number in range(60):
        prove(scheduler, f"hung{number}", "greedy")
    prove(scheduler, "good", "good")
    for number in range(60):
        fill(scheduler, f"hung{number}", 2, project="greedy")
    while taken := take_all(scheduler):
        for call in taken:
            scheduler.overdue(call)
    fill(scheduler, "good", 5, project="good")
    assert projects(take_all(scheduler)) == {"good": 5}


def test_slowness_for_one_project_does_not_affect_another() -> None:
    scheduler = make_scheduler(10_000, 100)
    prove(scheduler, "shared", "good")
    fill(scheduler, "shared", 1, project="bad")
    scheduler.finished(take_all(scheduler)[0], prompt=False)
    for name in "abcdefghijkl":
        for number in range(100):
            fill(scheduler, f"{name}{number}", 1, project=name)
        take_all(scheduler)
    fill(scheduler, "shared", 1, project="good")
    fill(scheduler, "shared", 1, project="bad")
    assert projects(take_all(scheduler)) == {"good": 1}


def test_suspects_are_sent_one_at_a_time() -> None:
    scheduler = make_scheduler(100, 100)
    suspects = fill(scheduler, "a", 3, losses=SUSPECT) + fill(scheduler, "b", 1, project="q", losses=SUSPECT)
    fill(scheduler, "c", 2)
    taken = take_all(scheduler)
    assert len([one for one in taken if one in suspects]) == 1
    assert len(taken) == 3
    for _ in range(3):
        (under_way,) = [one for one in taken if one in suspects]
        scheduler.finished(under_way, prompt=True)
        scheduler.forget(under_way)
        taken = take_all(scheduler)
    assert len(taken) == 1


def test_a_call_counts_until_it_is_forgotten() -> None:
    scheduler = make_scheduler(10, 10)
    (call,) = fill(scheduler, "a", 1)
    assert scheduler.put(call)
    scheduler.take()
    scheduler.finished(call, prompt=True)
    assert scheduler.holds(call.delivery.delivery_id)
    assert scheduler.room() == 9
    scheduler.forget(call)
    assert not scheduler.holds(call.delivery.delivery_id)
    assert scheduler.room() == 10


def test_clear_removes_the_waiting_deliveries() -> None:
    scheduler = make_scheduler(100, 2)
    calls = fill(scheduler, "a", 3, limit=1)
    assert scheduler.take() == calls[0]
    assert scheduler.clear() == calls[1:]
    assert take_all(scheduler) == []
    assert scheduler.room() == 99
    scheduler.finished(calls[0], prompt=True)
    fill(scheduler, "a", 1)
    assert len(take_all(scheduler)) == 1


@pytest.mark.parametrize("concurrency", [1, 2, 3])
def test_the_smallest_limits_still_work(concurrency: int) -> None:
    scheduler = make_scheduler(4, concurrency)
    fill(scheduler, "a", 1)
    call = scheduler.take()
    assert call is not None
    scheduler.finished(call, prompt=False)
    fill(scheduler, "a", 1)
    assert scheduler.take() is not None


@hypothesis.given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 4)),
            st.tuples(st.sampled_from(["take", "slow", "fast", "clear"]), st.integers(0, 50)),
        ),
        max_size=80,
    ),
    st.integers(1, 8),
    st.integers(1, 12),
)
def test_bounds_always_hold_and_nothing_is_lost_or_duplicated(
    operations: list[tuple[str, int]], concurrency: int, capacity: int
) -> None:
    scheduler = make_scheduler(capacity, concurrency)
    queued: list[Call] = []
    running: list[Call] = []
    for operation, number in operations:
        if operation == "put":
            call = make_call(f"h{number % 3}", limit=3, total=4, project_id=f"p{number % 2}")
            if scheduler.put(call):
                queued.append(call)
        elif operation == "take":
            taken = scheduler.take()
            if taken is None:
                continue
            same = [p for p in queued if key(p) == key(taken)]
            assert same[0] is taken
            queued.remove(taken)
            running.append(taken)
        elif operation == "clear":
            assert sorted(map(id, scheduler.clear())) == sorted(map(id, queued))
            queued = []
        elif running:
            call = running.pop(number % len(running))
            scheduler.finished(call, prompt=operation == "fast")
            scheduler.forget(call)
        assert len(running) <= concurrency
        assert scheduler.room() == capacity - len(queued) - len(running) >= 0
        assert all(number <= 3 for number in collections.Counter(map(key, running)).values())
        assert all(number <= 4 for number in collections.Counter(hosts_of(running)).values())
    # Nobody starves: with everything finished, all that is queued can leave.
    for call in running:
        scheduler.finished(call, prompt=True)
        scheduler.forget(call)
    while queued:
        last = scheduler.take()
        assert last is not None
        queued.remove(last)
        scheduler.finished(last, prompt=True)
        scheduler.forget(last)
