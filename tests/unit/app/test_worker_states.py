"""What the probes of a listener learn from the reports of its processes."""

from __future__ import annotations

from eventalarm.app.worker_states import TEXTS, Lack, WorkerStates


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_that_stops_reporting_is_stalled_and_a_new_one_is_awaited() -> None:
    clock = Clock()
    states = WorkerStates(2, 10.0, clock)
    assert states.stalled() == states.unable() == "no worker process has reported yet"
    states.report(1, Lack.NOTHING)
    assert (states.stalled(), states.unable()) == ("", "")
    clock.now += 8
    states.report(0, Lack.NOTHING)
    clock.now += 8
    assert states.stalled() == states.unable() == "worker process 1: no progress"
    states.begin(1)
    assert (states.stalled(), states.unable()) == ("", "")


def test_each_lack_is_named_with_the_workers_that_have_it_and_none_is_a_stall() -> None:
    states = WorkerStates(4, 10.0, Clock())
    for worker, lacks in enumerate((Lack.DATABASE, Lack.NOTHING, Lack.CONSUMER | Lack.LEASE, Lack.LEASE)):
        states.report(worker, lacks)
    assert states.stalled() == ""
    assert states.unable().split("; ") == [
        "worker process 0: waiting for the database",
        "worker process 2: does not consume from the broker",
        "worker process 2, 3: no valid lease",
    ]
    for worker in (0, 2, 3):
        states.report(worker, Lack.NOTHING)
    assert states.unable() == ""


def test_a_stalled_worker_is_named_beside_what_others_lack() -> None:
    clock = Clock()
    states = WorkerStates(2, 10.0, clock)
    states.report(0, Lack.NOTHING)
    clock.now += 11
    states.report(1, Lack.BROKER)
    assert states.unable() == "worker process 0: no progress; worker process 1: waiting for the broker"


def test_every_lack_has_a_text() -> None:
    assert set(TEXTS) == set(Lack)
