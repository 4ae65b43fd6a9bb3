"""Stalled threads and loops are found; a process whose interpreter is held ends."""

from __future__ import annotations

import asyncio
import logging
import queue
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator

import pytest

from eventalarm.watchdog import Loop, Progress, Watchdog

LONG = 20.0


class Seen:
    """What a watchdog reported; each report can be awaited."""

    def __init__(self) -> None:
        self.stalled: queue.Queue[str] = queue.Queue()
        self.ended = threading.Event()

    def dog(self, warn: float = 0.05, exit_after: float = 0.0) -> Watchdog:
        return Watchdog(warn=warn, exit_after=exit_after, stalled=self.stalled.put, end=self.ended.set)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    found = threading.Event()
    yield found
    found.set()


def stand_still_here(gate: threading.Event, begun: threading.Event) -> None:
    begun.set()
    gate.wait()


def test_a_blocked_event_loop_is_reported_with_its_stack(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """Red without the watchdog: nothing notices a loop that a callback blocks."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    seen = Seen()
    dog = seen.dog(exit_after=0.2)
    answered = threading.Event()
    loop.call_soon_threadsafe(answered.set)
    assert answered.wait(LONG)

    def call_soon(call: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(call)

    dog.watch("event loop", Loop(call_soon))
    with caplog.at_level(logging.WARNING, "eventalarm.watchdog"):
        dog.start()
        begun = threading.Event()
        # The watchdog must have seen the loop run once, to know its thread.
        running = threading.Event()
        loop.call_later(0.1, running.set)
        assert running.wait(LONG)
        loop.call_soon_threadsafe(stand_still_here, gate, begun)
        assert begun.wait(LONG)
        assert seen.stalled.get(timeout=LONG) == "event loop"
        assert seen.ended.wait(LONG)
        dog.stop()
    assert any("stand_still_here" in record.getMessage() for record in caplog.records)
    gate.set()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_thread_that_advances_is_left_alone_and_a_stalled_one_is_not(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    seen, progress = Seen(), Progress()
    idle = Progress()
    dog = seen.dog()
    dog.watch("evaluator", progress)
    dog.watch("idle", idle)
    begun, enough = threading.Event(), threading.Event()

    def work() -> None:
        with progress.work():
            stand_still_here(gate, begun)
            while not enough.wait(0.005):
                progress.advance()

    thread = threading.Thread(target=work)
    with caplog.at_level(logging.WARNING, "eventalarm.watchdog"):
        dog.start()
        thread.start()
        assert begun.wait(LONG)
        assert seen.stalled.get(timeout=LONG) == "evaluator"
        gate.set()
        again = threading.Event()
        while not any("is working again" in record.getMessage() for record in caplog.records):
            again.wait(0.01)
        enough.set()
        thread.join()
        dog.stop()
    assert not seen.ended.is_set()
    assert seen.stalled.empty()


def run(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


HELD = """
    import re, sys, threading
    from eventalarm.watchdog import Progress, Watchdog

    dog = Watchdog(warn=0.2, exit_after=0.6, own_process=True)
    progress = Progress()
    dog.watch("thread", progress)
    dog.start()
    threading.Event().wait(0.3)

    def hold_the_interpreter():
        re.match("(a|aa)+$", "a" * 200 + "b")

    with progress.work():
        hold_the_interpreter()
"""


def test_a_process_with_a_blocked_interpreter_ends_with_a_traceback() -> None:
    """No thread of Python runs then, not even the watchdog: the kernel's timer expires."""
    done = run(HELD)
    assert done.returncode == -signal.SIGPROF, done.stderr
    assert "hold_the_interpreter" in done.stderr


ENDED = """
    import threading
    from eventalarm.watchdog import Progress, Watchdog

    dog = Watchdog(warn=0.1, exit_after=0.3, own_process=True)
    progress = Progress()
    dog.watch("thread", progress)
    dog.start()
    with progress.work():
        threading.Event().wait()
"""


def test_a_process_with_a_stalled_thread_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ENDED)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 70, done.stderr
