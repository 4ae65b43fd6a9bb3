"""Events that counted for policies of the inspector."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.storage.column_types import insert_new
from eventalarm.storage.database import Database
from eventalarm.storage.inspector_tables import policy_match

INSERT_NEW: Final = insert_new(policy_match)
# Counts that one statement returns.
CHUNK: Final = 100


@dataclasses.dataclass(frozen=True, slots=True)
class PolicyMatch:
    """An event that counts for a policy: its source, message id and time (aware UTC).

    ``within`` is the length of the policy's window in seconds.
    """

    policy: str
    source: str
    message_id: str
    at: datetime.datetime
    within: float


class PolicyMatches:
    """The events of one database; every method raises Retryable when the database failed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, matches: Sequence[PolicyMatch]) -> list[int]:
        """Record that events count, and return for each how many did in its window, up to its own time.

        Idempotent: an event counts once, however often it is recorded. Two statements for up to 100 events.
        """
        if not matches:
            return []
        found: list[int] = []
        with self._database.begin() as connection:
            connection.execute(INSERT_NEW[connection.dialect.name], [_row(one) for one in matches])
            for start in range(0, len(matches), CHUNK):
                chunk = matches[start : start + CHUNK]
                counts = sa.select(*(_number(one).label(f"n{place}") for place, one in enumerate(chunk)))
                found += map(int, connection.execute(counts).one())
        return found

    def forget(self, before: datetime.datetime) -> None:
        """Remove the events of before then."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(policy_match).where(policy_match.c.at < before))


def _row(one: PolicyMatch) -> dict[str, Any]:
    return {"policy": one.policy, "source": one.source, "message_id": one.message_id, "at": one.at}


def _number(one: PolicyMatch) -> sa.ScalarSelect[int]:
    return (
        sa.select(sa.func.count())
        .where(
            policy_match.c.policy == one.policy,
            policy_match.c.source == one.source,
            policy_match.c.at > one.at - datetime.timedelta(seconds=one.within),
            policy_match.c.at <= one.at,
        )
        .scalar_subquery()
    )
