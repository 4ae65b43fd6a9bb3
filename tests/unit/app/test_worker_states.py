"""What the probes of a listener learn from the reports of its processes."""

from __future__ import annotations

from eventalarm.app.worker_states import WorkerStates


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_that_stops_reporting_is_stalled_and_a_new_one_is_awaited() -> None:
    clock = Clock()
    states = WorkerStates(2, 10.0, clock)
    assert states.stalled() == states.unable() == "no worker process has reported yet"
    states.report(1, True)
    assert (states.stalled(), states.unable()) == ("", "")
    clock.now += 8
    states.report(0, True)
    clock.now += 8
    assert states.stalled() == states.unable() == "worker process 1: no progress"
    states.begin(1)
    assert (states.stalled(), states.unable()) == ("", "")


def test_a_worker_without_a_lease_or_a_broker_is_alive_and_not_ready() -> None:
    states = WorkerStates(3, 10.0, Clock())
    for worker, able in enumerate((False, True, False)):
        states.report(worker, able)
    assert states.stalled() == ""
    assert states.unable() == "worker process 0, 2: not consuming, or without a valid lease"
    for worker in (0, 2):
        states.report(worker, True)
    assert states.unable() == ""
