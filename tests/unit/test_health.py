"""A check that may hang costs its callers a bounded time, and one thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from eventalarm.health import BoundedCheck


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    found = threading.Event()
    yield found
    found.set()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_check_that_hangs_uses_one_thread_and_is_reported_at_once_after_its_time(
    gate: threading.Event,
) -> None:
    clock, begun = Clock(), []

    def hang() -> None:
        begun.append(threading.current_thread())
        gate.wait()

    check = BoundedCheck("database", hang, 0.05, monotonic=clock)
    assert check.problem() == "no answer within 0.05 s"
    clock.now += 3600
    for _ in range(20):
        assert check.problem() == "no answer within 0.05 s"
    assert len(begun) == 1
    gate.set()
    begun[0].join(20)
    assert check.problem() == ""


def test_a_result_serves_many_callers() -> None:
    clock, calls = Clock(), []
    check = BoundedCheck("broker", lambda: calls.append(1), 10.0, keep=1.0, monotonic=clock)
    assert [check.problem() for _ in range(5)] == [""] * 5
    assert len(calls) == 1
    clock.now += 1.0
    assert check.problem() == ""
    assert len(calls) == 2


def test_callers_that_come_together_wait_for_one_check(gate: threading.Event) -> None:
    calls: list[int] = []

    def slow() -> None:
        calls.append(1)
        gate.wait()

    check = BoundedCheck("broker", slow, 20.0)
    found: list[str] = []
    callers = [threading.Thread(target=lambda: found.append(check.problem())) for _ in range(8)]
    for caller in callers:
        caller.start()
    gate.set()
    for caller in callers:
        caller.join(20)
    assert (found, len(calls)) == ([""] * 8, 1)


def test_a_failure_is_logged_once_in_full_and_answered_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    error: Exception | None = RuntimeError("user aodh of 10.0.0.1")

    def check_it() -> None:
        if error is not None:
            raise error

    check = BoundedCheck("database", check_it, 10.0, monotonic=clock)
    with caplog.at_level("INFO"):
        for _ in range(3):
            problem = check.problem()
            clock.now += 5
            assert problem
            assert "aodh" not in problem
        error = None
        assert check.problem() == ""
    assert [record.getMessage() for record in caplog.records] == [
        "The health check of the database failed: RuntimeError: user aodh of 10.0.0.1",
        "The health check of the database succeeds again",
    ]
