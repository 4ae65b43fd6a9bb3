"""An outbox on each database, with one registered worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventalarm.storage import database as storage
from eventalarm.storage.database import Database
from eventalarm.storage.outbox import Outbox
from tests.support.outbox import LONG


@pytest.fixture
def database(our_database_url: str) -> Iterator[Database]:
    database = storage.connect(our_database_url, pipelines=True)
    yield database
    database.dispose()


@pytest.fixture
def outbox(database: Database) -> Outbox:
    outbox = Outbox(database)
    outbox.register("me", "host-a", LONG)
    return outbox
