"""systemd learns that a service is ready, that all its workers make progress, and that it stops."""

from __future__ import annotations

import os
import pathlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from eventalarm import systemd
from eventalarm.watchdog import Progress, Watchdog
from tests.support.notify_socket import NotifySocket

LONG = 20.0


@pytest.fixture
def manager(tmp_path: pathlib.Path) -> Iterator[NotifySocket]:
    opened = NotifySocket(tmp_path / "notify")
    yield opened
    opened.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    yield now
    monkeypatch.undo()


class Sent(systemd.Notifier):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[str] = []

    def send(self, *states: str) -> None:
        self.states += states


def test_states_arrive_at_the_socket_of_the_environment(
    manager: NotifySocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(systemd.VARIABLE, str(manager.path))
    notifier = systemd.Notifier.from_environment()
    assert systemd.VARIABLE not in os.environ
    notifier.send(systemd.READY, "STATUS=Consuming")
    manager.wait("STATUS=Consuming", timeout=LONG)
    assert manager.states() == ["READY=1", "STATUS=Consuming"]


def test_an_abstract_socket_is_found() -> None:
    name = f"eventalarm-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        receiver.settimeout(LONG)
        systemd.Notifier(f"@{name}").send(systemd.STOPPING)
        assert receiver.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize(("address", "logged"), [("", 0), ("/nonexistent/notify", 1)])
def test_a_missing_socket_does_not_stop_a_service(
    address: str, logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG", "eventalarm.systemd"):
        systemd.Notifier(address).send(systemd.READY)
    assert len(caplog.records) == logged


def test_progress_is_reported_while_every_worker_makes_it(clock: list[float]) -> None:
    sent = Sent()
    beats = systemd.Heartbeats(sent, workers=2, fresh=10.0)
    beats.beat(0)
    assert sent.states == ["WATCHDOG=1"], "a worker that is still being started does not count"
    beats.beat(1)
    clock[0] += 9.0
    beats.beat(0)
    assert len(sent.states) == 3
    clock[0] += 2.0
    beats.beat(0)
    assert len(sent.states) == 3, "worker 1 has made no progress for 11 s"
    beats.begin(1)
    beats.beat(0)
    assert len(sent.states) == 4, "worker 1 is being restarted"


def test_heartbeats_of_another_process_are_seen() -> None:
    sent = Sent()
    beats = systemd.Heartbeats(sent, workers=2, fresh=0.0)
    child = os.fork()
    if not child:
        beats.beat(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    beats.beat(0)
    assert sent.states == [], "the other worker's heartbeat is older than 0 s"


def test_a_stalled_thread_ends_the_heartbeats_until_it_works_again() -> None:
    """Red with a heartbeat of every check: it arrives while the thread is stalled."""
    stalled, progressing = threading.Event(), threading.Event()
    dog = Watchdog(warn=0.05, exit_after=0.0, stalled=lambda name: stalled.set(), progressing=progressing.set)
    progress = Progress()
    dog.watch("evaluator", progress)
    dog.start()
    assert progressing.wait(LONG)
    with progress.work():
        assert stalled.wait(LONG)
        # The check that reported the stall has ended: the next would set it again.
        progressing.clear()
        assert not progressing.wait(0.1)
        progress.advance()
        assert progressing.wait(LONG)
    dog.stop()
