"""The engine on every database, beside Aodh's own storage code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventalarm.storage.database import Database
from tests.support.builders import event_body
from tests.support.engine_harness import (
    AodhStorage,
    EngineHarness,
    open_database,
)


@pytest.fixture
def database(our_database_url: str) -> Iterator[Database]:
    with open_database(our_database_url) as opened:
        yield opened


@pytest.fixture
def aodh(our_database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[AodhStorage]:
    storage = AodhStorage(our_database_url, monkeypatch)
    yield storage
    storage.close()


@pytest.fixture
def engine(database: Database) -> EngineHarness:
    """An engine whose cache is loaded, so that only later changes are new to it."""
    harness = EngineHarness(database)
    harness.process(event_body(state="warming up"))
    return harness
