"""Rows of deliveries with their transitions, written directly, and the API that shows them."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from eventalarm.delivery.action import destination
from eventalarm.model import UTC
from eventalarm.model.deliveries import FINISHED
from eventalarm.storage import tables
from eventalarm.storage.claims import AT_ONCE
from eventalarm.storage.database import Database
from eventalarm.storage.deliveries import order_key
from tests.support.ingest_api import IngestApi

START = datetime.datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
SECOND = datetime.timedelta(seconds=1)
NUMBERS = itertools.count(1)


def delivery_row(project: str, number: int, state: str = "delivered", **values: Any) -> dict[str, Any]:
    """Return a row; its names begin with the project, its time is *number* seconds after :data:`START`."""
    name = f"{project}-{next(NUMBERS)}"
    at = START + number * SECOND
    alarm = values.setdefault("alarm_id", f"{project}-alarm")
    action = values.setdefault("action", f"https://{project}.example.org/hook?token=s3cr3t")
    finished = state in FINISHED
    return {
        "delivery_id": name,
        "transition_id": f"t-{name}",
        "order_key": order_key(alarm, action),
        "project_id": project,
        "destination": destination(action),
        "state": state,
        "attempts": 1 if finished else 0,
        "error": "http_5xx: HTTP 503" if state == "failed" else None,
        "status": {"failed": 503, "delivered": 200}.get(state),
        "latency": 0.125 if finished else None,
        "attempted_at": at if finished else None,
        "next_attempt_at": AT_ONCE,
        "created_at": at,
        "finished_at": at if finished else None,
        **values,
    }


def put(database: Database, rows: Iterable[dict[str, Any]]) -> list[str]:
    """Write deliveries, each with a transition; return their ids."""
    found = list(rows)
    with database.begin() as connection:
        connection.execute(sa.insert(tables.delivery), found)
        connection.execute(sa.insert(tables.transition), [_transition(row) for row in found])
    return [row["delivery_id"] for row in found]


def _transition(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "transition_id": row["transition_id"],
        "kind": "raised",
        "occurrence_id": "o",
        "alarm_id": row["alarm_id"],
        "project_id": row["project_id"],
        "managed_object": f"{row['project_id']}-vm",
        "message_id": row["delivery_id"],
        "alarm_name": f"{row['project_id']} disk",
        "previous": "ok",
        "current": "alarm",
        "reason": "because",
        "event_type": "e",
        "event_time": row["created_at"],
        "recorded_at": row["created_at"],
        "event": "{}",
    }


class DeliveriesApi(IngestApi):
    """The ingest API on a database."""

    def __init__(self, database: Database, **overrides: Any) -> None:
        self.database = database
        super().__init__("fake://", lambda: database, **overrides)

    def pages(self, path: str, **who: Any) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of a listing."""
        while True:
            answer = self.call("GET", path, **who)
            assert answer.status_code == 200, answer.text
            yield answer.json
            link = answer.headers.get("Link")
            if link is None:
                return
            path = "/v1/" + link.partition("/v1/")[2].partition(">")[0]

    def listed(self, path: str, **who: Any) -> list[str]:
        """Return the ids on all pages of a listing."""
        return [one["delivery_id"] for page in self.pages(path, **who) for one in page]
