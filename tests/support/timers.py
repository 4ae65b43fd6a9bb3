"""Timers on a real database: the runner of one listener, called by the test or in its own thread."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.evaluator.timer_service import TimerLoop, TimerRunner
from eventalarm.model import UTC, Transition
from eventalarm.storage import tables
from eventalarm.storage.database import Database
from tests.support.builders import event_body
from tests.support.engine_harness import (
    EngineHarness,
    RecordingEnqueuer,
    alarm_row,
    insert_alarms,
    read_alarm,
    read_table,
    resource_naming,
)

HOUR = 3600.0
START = datetime.datetime.now(UTC).replace(microsecond=0) - datetime.timedelta(hours=1)
# Raised and cleared by the events of a host's servers, see :func:`at`.
BY_HOST: dict[str, Any] = {
    "event_type": "*",
    "query": [{"field": "traits.state", "value": "error"}],
    "clear": {"query": [{"field": "traits.state", "value": "active"}]},
    "group_by": ["host"],
}


class Listener:
    """What one listener process runs: an engine and a runner of timers, each with its own enqueuer."""

    def __init__(
        self,
        database: Database,
        timer_enqueuer: RecordingEnqueuer | None = None,
        max_occurrences: int = 10_000,
    ) -> None:
        self.database = database
        self.engine = EngineHarness(database, max_occurrences=max_occurrences)
        self.enqueuer = timer_enqueuer or RecordingEnqueuer()
        self.reasons: Counter[str] = Counter()
        self.runner = TimerRunner(
            database,
            self.engine.cache,
            cast(OutboxEnqueuer, self.enqueuer),
            record_history=True,
            overlap=10.0,
            look_at_all=600.0,
            max_occurrences=max_occurrences,
            report=self._note,
            resource_of=resource_naming,
        )

    def _note(self, transitions: Sequence[Transition], reasons: Counter[str]) -> None:
        self.reasons.update(reasons)

    def tell(self, state: str, vm: str = "vm-1", **fields: Any) -> None:
        """Evaluate an event about *vm*, generated now."""
        moment = datetime.datetime.now(UTC)
        self.engine.process(event_body(state=state, resource_id=vm, **{"generated": moment, **fields}))

    def run_until(self, condition: Callable[[], bool], timeout: float = 20.0) -> None:
        """Call the runner as often as it asks for, until the condition holds."""
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, "the condition did not become true"
            time.sleep(self.runner.run_once())

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run the timers in a thread, as a listener does."""
        loop = TimerLoop(self.runner.run_once, self.database.leave)
        loop.start()
        try:
            yield
        finally:
            loop.stop()


def notification_alarm(database: Database, rule: Any, **columns: Any) -> str:
    """Create an alarm of our type and return its id."""
    row = alarm_row(rule=rule, **{"type": "notification", "ok_actions": ["http://ok"], **columns})
    insert_alarms(database, row)
    return str(row["alarm_id"])


def at(second: int, state: str = "error", host: str = "host-1", **fields: Any) -> dict[str, Any]:
    """Return an event about a host, generated *second* seconds after START."""
    moment = START + datetime.timedelta(seconds=second)
    return event_body(state=state, host=host, generated=moment, **fields)


def state_of(database: Database, alarm_id: str) -> str:
    """Return the state of an alarm."""
    return str(read_alarm(database, alarm_id)["state"])


def timers(database: Database, **equal: Any) -> list[tuple[str, str, bool]]:
    """Return the timers as (kind, managed object, True if it is armed)."""
    rows = read_table(database, tables.timer, **equal)
    return sorted((row["kind"], row["managed_object"], row["due_at"] is not None) for row in rows)


def make_due(database: Database, *, ago: float = 1.0, **equal: Any) -> None:
    """Let time pass: move timers so that they were due *ago* seconds ago."""
    for row in read_table(database, tables.timer, **equal):
        if row["due_at"] is None:
            continue
        back = row["due_at"] - database.now() + datetime.timedelta(seconds=ago)
        with database.begin() as connection:
            connection.execute(
                tables.timer.update()
                .where(tables.timer.c.timer_id == row["timer_id"])
                .values(due_at=row["due_at"] - back, armed_at=row["armed_at"] - back)
            )
