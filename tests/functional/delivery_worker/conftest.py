"""Fixtures of the tests of the delivery worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm.delivery.worker import DeliveryWorker
from eventalarm.storage import database as storage
from eventalarm.storage.outbox import Outbox
from tests.functional.conftest import Spawn
from tests.support.delivery_worker import WORKER_COMMAND, StartProcess, StartWorker, make_worker, workers
from tests.support.helpers import Process, wait_until


@pytest.fixture
def database(our_sqlite_url: str) -> Iterator[storage.Database]:
    database = storage.connect(our_sqlite_url)
    yield database
    database.dispose()


@pytest.fixture
def start(database: storage.Database) -> Iterator[StartWorker]:
    """Start workers that end with the test."""
    started = []

    def begin(outbox: Outbox | None = None, **fields: Any) -> DeliveryWorker:
        started.append(make_worker(outbox or Outbox(database), **fields))
        started[-1].start()
        wait_until(lambda: started[-1].owner)
        return started[-1]

    yield begin
    for worker in started:
        worker.stop(1.0)


@pytest.fixture
def worker_process(spawn: Spawn, database: storage.Database, our_sqlite_url: str) -> StartProcess:
    """Start a worker process; ``(process, its worker id)``."""

    def begin(**fields: Any) -> tuple[Process, str]:
        before = workers(database)
        command = [*WORKER_COMMAND, our_sqlite_url, repr(fields)]
        process = spawn(command, env={"PYTHONPATH": os.getcwd()})
        (name,) = wait_until(lambda: workers(database) - before)
        return process, name

    return begin
