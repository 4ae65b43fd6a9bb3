"""Warms up a process: evaluates one event in a transaction that is rolled back.

Otherwise the first event after a start would be delayed by what happens once per process: SQLAlchemy compiles
each statement, connections are opened, libraries fill their caches.
"""

from __future__ import annotations

import datetime
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any, Final, NoReturn

from eventalarm.evaluator.batch import BatchReport
from eventalarm.model import UTC, Event
from eventalarm.storage.database import Database
from eventalarm.storage.synthetic_alarms import with_alarm

LOG = logging.getLogger(__name__)

NAME: Final = "eventalarm.rehearsal"
PROJECT: Final = uuid.uuid5(uuid.NAMESPACE_DNS, NAME).hex
ACTION: Final = "http://192.0.2.1/"

Process = Callable[[list[Event]], BatchReport]


class _Undo(Exception):
    """Rolls back the transaction."""


def rehearse(database: Database, build: Callable[[Database], Process], owner_trait: str) -> None:
    """Raise and clear an alarm that exists in this transaction only.

    Nothing is committed or sent. A failure is logged, but does not prevent the start.

    :param build: returns an evaluator on the given database, whose deliveries are not sent.
    :param owner_trait: the trait that names the project of an event.
    """
    begun = time.monotonic()
    alarm_id = f"{NAME}-{uuid.uuid4()}"
    try:
        with with_alarm(database, _alarm(alarm_id)) as inside:
            process = build(inside)
            seen = [process([_event(alarm_id, owner_trait, state)]) for state in ("error", "active")]
            _undo()
    except _Undo:
        done = sum(len(report.transitions) for report in seen)
        LOG.debug("Rehearsed %d transitions in %.0f ms", done, (time.monotonic() - begun) * 1000)
    except Exception as exc:  # noqa: BLE001 - only the first event is slower
        LOG.info("The rehearsal failed; the first event will take longer: %s", exc)


def _undo() -> NoReturn:
    raise _Undo


def _alarm(alarm_id: str) -> dict[str, Any]:
    conditions = [
        {"field": "traits.resource_id", "op": "eq", "type": "string", "value": alarm_id},
        {"field": "traits.state", "op": "eq", "type": "string", "value": "error"},
    ]
    return {
        "alarm_id": alarm_id,
        "enabled": True,
        "name": NAME,
        "type": "event",
        "severity": "low",
        "project_id": PROJECT,
        "state": "insufficient data",
        "state_reason": "",
        "ok_actions": [ACTION],
        "alarm_actions": [ACTION],
        "insufficient_data_actions": [],
        "repeat_actions": False,
        "rule": {"event_type": NAME, "query": conditions},
        "time_constraints": [],
    }


def _event(alarm_id: str, owner_trait: str, state: str) -> Event:
    now = datetime.datetime.now(UTC).replace(tzinfo=None)
    traits = {owner_trait: PROJECT, "resource_id": alarm_id, "state": state}
    return Event.parse(
        {
            "message_id": str(uuid.uuid4()),
            "event_type": NAME,
            "generated": now.isoformat(),
            "traits": [[name, 1, value] for name, value in traits.items()],
            "raw": {},
        }
    )
