"""Events that counted for policies of the inspector."""

from __future__ import annotations

import datetime

import sqlalchemy as sa
from oslo_db import exception as db_exception

from eventalarm.storage.database import Database
from eventalarm.storage.inspector_tables import policy_match


class PolicyMatches:
    """The events of one database; every method raises Retryable when the database failed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(
        self, policy: str, source: str, message_id: str, *, at: datetime.datetime, within: float
    ) -> int:
        """Record that an event counts, and return how many did within *within* seconds up to its time *at*.

        Idempotent: an event counts once, however often it is recorded.
        """
        row = {"policy": policy, "source": source, "message_id": message_id, "at": at}
        try:
            with self._database.begin() as connection:
                connection.execute(sa.insert(policy_match), [row])
        except db_exception.DBDuplicateEntry:
            # Recorded by an earlier delivery of the same event.
            pass
        query = sa.select(sa.func.count()).where(
            policy_match.c.policy == policy,
            policy_match.c.source == source,
            policy_match.c.at > at - datetime.timedelta(seconds=within),
            policy_match.c.at <= at,
        )
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def forget(self, before: datetime.datetime) -> None:
        """Remove the events of before then."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(policy_match).where(policy_match.c.at < before))
