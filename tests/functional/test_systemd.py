"""A listener of two workers under a service manager: ready, making progress, frozen, stopping."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Iterator

import pytest

from eventalarm import systemd
from tests.support.cloud import Cloud, Spawn
from tests.support.helpers import wait_until
from tests.support.notify_socket import NotifySocket


@pytest.fixture
def manager(tmp_path: pathlib.Path) -> Iterator[NotifySocket]:
    opened = NotifySocket(tmp_path / "notify")
    yield opened
    opened.close()


@pytest.fixture
def cloud(spawn: Spawn, tmp_path: pathlib.Path, our_sqlite_url: str, rabbit_url: str) -> Iterator[Cloud]:
    one = Cloud(
        spawn,
        tmp_path,
        our_sqlite_url,
        rabbit_url,
        eventalarm={"workers": 2, "watchdog_warn": 0.5, "watchdog_exit": 0},
    )
    yield one
    one.close()


def children(pid: int) -> list[int]:
    """Return the processes that any thread of *pid* started."""
    lists = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in lists for child in path.read_text().split()]


def is_quiet(manager: NotifySocket) -> bool:
    """Return True if nothing arrives during ten intervals of the watchdogs."""
    manager.forget()
    time.sleep(1.0)
    return systemd.PROGRESS not in manager.states()


def test_a_listener_reports_readiness_progress_and_its_end(cloud: Cloud, manager: NotifySocket) -> None:
    """Red without heartbeats in common: the worker that is not frozen goes on to report progress."""
    listener = cloud.start_listener(wait=False, env={systemd.VARIABLE: str(manager.path)})
    manager.wait(systemd.READY)
    # Each worker reports it when it consumes; cotyledon would have done so before it started them.
    assert "Listening on topic" in listener.text()
    manager.wait(systemd.READY, 2)
    manager.wait(systemd.PROGRESS, 3)
    frozen = children(listener.pid)[0]
    os.kill(frozen, signal.SIGSTOP)
    try:
        wait_until(lambda: is_quiet(manager), what="no progress is reported while a worker is frozen")
    finally:
        os.kill(frozen, signal.SIGCONT)
    manager.wait(systemd.PROGRESS)
    assert listener.terminate() == 0
    manager.wait(systemd.STOPPING)
