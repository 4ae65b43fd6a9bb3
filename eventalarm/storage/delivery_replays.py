"""Replays: finished deliveries sent again as new deliveries, once per replay and in their order.

A replay is one transaction. Its deliveries have ids that follow from the ids of the replay and of what they
repeat, so that the same request, sent again, adds nothing. They join the end of their order keys: the oldest
is sent first, after all that is still owed. What they repeat stays as it is.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.exceptions import EventAlarmError
from eventalarm.model import FINISHED, OBJECT_NAMESPACE, DeliveryState, JSONDict
from eventalarm.storage.claims import AT_ONCE, IN_TURN, is_unfinished
from eventalarm.storage.column_types import in_chunks
from eventalarm.storage.database import Database
from eventalarm.storage.deliveries import order_key
from eventalarm.storage.delivery_queries import lock_alarms
from eventalarm.storage.delivery_selection import Selection, conditions
from eventalarm.storage.errors import retry_conflicts
from eventalarm.storage.tables import alarm, delivery, transition

_COPIED: Final = ("transition_id", "order_key", "alarm_id", "project_id", "destination", "size")
_ACTIONS: Final = ("alarm_actions", "ok_actions", "insufficient_data_actions")


class TooMany(EventAlarmError):
    """A replay of more deliveries than a request may have."""


class StillOwed(EventAlarmError):
    """A replay to actions that are still owed too many deliveries."""


@dataclasses.dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay added: ``deliveries`` in all, also by earlier requests with its id.

    ``skipped`` are those whose action had secrets, which are not kept, and which no alarm names any more.
    """

    deliveries: int
    skipped: int


def replayed_id(replay_id: str, delivery_id: str) -> str:
    """Return the id of the delivery that repeats another one in a replay."""
    return str(uuid.uuid5(OBJECT_NAMESPACE, f"{replay_id}\n{delivery_id}"))


class DeliveryReplays:
    """Replays on one database.

    :param limit: the most deliveries of a replay, also together with what the same actions are still owed.
    """

    def __init__(self, database: Database, limit: int) -> None:
        self._database = database
        self._limit = limit

    @retry_conflicts
    def replay(self, replay_id: str, wanted: Selection) -> Replayed:
        """Replay the finished deliveries of alarm actions that match *wanted*, which names a project.

        Replays themselves and notifications of subscribers are not repeated.

        :raises TooMany: if more than the limit match.
        :raises StillOwed: if the same actions would be owed more than the limit.
        :raises Retryable: if the database failed; nothing was added, or a repeated request finds it.
        """
        now = self._database.now()
        with self._database.begin() as connection:
            originals = self._originals(connection, wanted)
            lock_alarms(connection, {row.alarm_id for row in originals})
            known = _known(connection, [replayed_id(replay_id, row.delivery_id) for row in originals])
            new = [row for row in originals if replayed_id(replay_id, row.delivery_id) not in known]
            actions = _actions(connection, new)
            sent = [row for row in new if row.order_key in actions]
            taken = self._taken(connection, {row.order_key for row in sent}, len(sent))
            rows: list[JSONDict] = []
            for row in sent:
                due = IN_TURN if row.order_key in taken else AT_ONCE
                taken.add(row.order_key)
                added = {
                    **{name: getattr(row, name) for name in _COPIED},
                    "delivery_id": replayed_id(replay_id, row.delivery_id),
                    "action": actions[row.order_key],
                    "state": DeliveryState.PENDING.value,
                    "next_attempt_at": due,
                    "created_at": now,
                    "replay_id": replay_id,
                    "replay_of": row.delivery_id,
                }
                rows.append(added)
            if rows:
                connection.execute(sa.insert(delivery).inline(), rows)
        return Replayed(len(known) + len(rows), len(new) - len(sent))

    def _originals(self, connection: sa.Connection, wanted: Selection) -> Sequence[sa.Row[Any]]:
        query = (
            sa.select(delivery.c.delivery_id, delivery.c.action, *(delivery.c[name] for name in _COPIED))
            # Without its transition nothing can be sent.
            .join(transition, transition.c.transition_id == delivery.c.transition_id)
            .where(
                *conditions(dataclasses.replace(wanted, states=wanted.states or FINISHED)),
                delivery.c.replay_id.is_(None),
                delivery.c.subscription_id.is_(None),
            )
            .order_by(delivery.c.seq)
            .limit(self._limit + 1)
        )
        rows = connection.execute(query).all()
        if len(rows) > self._limit:
            raise TooMany(f"more than {self._limit} deliveries match")
        return rows

    def _taken(self, connection: sa.Connection, keys: set[str], number: int) -> set[str]:
        """Return those of the order keys *keys* that are owed deliveries."""
        owed: list[str] = []
        for some in in_chunks(keys):
            query = sa.select(delivery.c.order_key).where(delivery.c.order_key.in_(some), is_unfinished())
            owed.extend(connection.execute(query.limit(self._limit + 1)).scalars())
        if owed and len(owed) + number > self._limit:
            raise StillOwed(f"these actions are still owed {len(owed)} deliveries")
        return set(owed)


def _known(connection: sa.Connection, delivery_ids: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for some in in_chunks(set(delivery_ids)):
        query = sa.select(delivery.c.delivery_id).where(delivery.c.delivery_id.in_(some))
        found.update(connection.execute(query).scalars())
    return found


def _actions(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> dict[str, str]:
    """Return the action of each order key of *rows* that is known with its secrets.

    They are removed from what was delivered; then the action is one of those that the alarm has now.
    """
    found = {
        row.order_key: row.action for row in rows if order_key(row.alarm_id, row.action) == row.order_key
    }
    missing = {row.alarm_id for row in rows if row.order_key not in found}
    for some in in_chunks(missing):
        query = sa.select(alarm.c.alarm_id, *(alarm.c[name] for name in _ACTIONS))
        for row in connection.execute(query.where(alarm.c.alarm_id.in_(some))):
            for actions in row[1:]:
                found |= {order_key(row.alarm_id, one): one for one in actions or () if isinstance(one, str)}
    return found
