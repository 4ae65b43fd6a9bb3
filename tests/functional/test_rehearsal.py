"""The first event after a start finds everything warm, and the rehearsal leaves no trace."""

from __future__ import annotations

import pathlib
from typing import Any

import sqlalchemy as sa

from eventalarm.app.build import build_cache, build_engine
from eventalarm.app.process import ListenerProcess
from eventalarm.delivery import enqueue
from eventalarm.metrics import Metrics
from eventalarm.model import Event
from eventalarm.storage.database import Database
from eventalarm.storage.outbox import Outbox
from eventalarm.storage.tables import alarm, alarm_history, delivery, event, occurrence, transition
from tests.functional.conftest import Spawn
from tests.support.cloud import Cloud, make_event


def _compiled(database: Database) -> set[Any]:
    cache = database.engine._compiled_cache
    assert cache is not None
    return set(cache)


def test_the_first_event_compiles_no_statement(
    spawn: Spawn, tmp_path: pathlib.Path, our_database_url: str
) -> None:
    """Fails without the rehearsal: compiling took most of the first event's time."""
    cloud = Cloud(spawn, tmp_path, our_database_url, "fake://")
    database = cloud.database
    cloud.create_alarm(["http://192.0.2.1/"], ok_actions=["http://192.0.2.1/"])
    process = ListenerProcess(cloud.conf)
    process._rehearse(database)
    with database.read() as connection:
        for table in (alarm_history, occurrence, transition, delivery, event):
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 0
        assert connection.execute(sa.select(sa.func.count()).select_from(alarm)).scalar_one() == 1

    cache = build_cache(cloud.conf, database, Metrics())
    engine = build_engine(
        cloud.conf, database, cache, enqueue.OutboxEnqueuer(Outbox(database), enqueue.NoWorker())
    )
    compiled = _compiled(database)
    for state in ("error", "active"):
        report = engine.process([Event.parse(make_event(state=state))])
        assert len(report.transitions) == 1
    assert _compiled(database) - compiled == set()
    cloud.close()
