"""Fixtures of the tests of the delivery worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventalarm.delivery.worker import DeliveryWorker
from eventalarm.storage import database as storage
from eventalarm.storage.outbox import Outbox
from eventalarm.storage.tables import metadata
from tests.functional.conftest import Spawn
from tests.support.delivery_worker import WORKER_COMMAND, StartProcess, StartWorker, make_worker, workers
from tests.support.helpers import Process, wait_until


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'outbox.sqlite'}"


@pytest.fixture
def database(url: str) -> Iterator[storage.Database]:
    database = storage.connect(url)
    metadata.create_all(database.engine)
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
def worker_process(spawn: Spawn, database: storage.Database, url: str) -> StartProcess:
    """Start a worker process; ``(process, its worker id)``."""

    def begin(**fields: Any) -> tuple[Process, str]:
        before = workers(database)
        command = [*WORKER_COMMAND, url, repr(fields)]
        process = spawn(command, env={"PYTHONPATH": os.getcwd()})
        (name,) = wait_until(lambda: workers(database) - before)
        return process, name

    return begin
