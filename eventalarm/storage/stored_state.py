"""What eventalarm's tables hold about the alarms of a batch, read in one round trip under their row locks."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import ALARM, UNFINISHED, Alarm, Occurrence
from eventalarm.storage import claims
from eventalarm.storage.alarm_counts import CLOSE_AT_ONCE
from eventalarm.storage.clock import utc_now
from eventalarm.storage.column_types import in_chunks, to_key
from eventalarm.storage.ifa_tables import subscription
from eventalarm.storage.inspector_tables import inhibition
from eventalarm.storage.tables import alarm, alarm_count, delivery, occurrence, transition

OCCURRENCE_COLUMNS: Final = tuple(occurrence.c[field.name] for field in dataclasses.fields(Occurrence))

# The parts of the one statement; the first column of each row names the part that the row belongs to.
OCCURRENCE: Final = "occurrence"
COUNT: Final = "count"
TRANSITION: Final = "transition"
DELIVERY: Final = "delivery"
INHIBITION: Final = "inhibition"
MOMENTS: Final = "moments"

_ALARMS: Final[Any] = sa.bindparam("alarms", expanding=True)
_OBJECTS: Final[Any] = sa.bindparam("objects", expanding=True)
_MESSAGES: Final[Any] = sa.bindparam("messages", expanding=True)
_RESOURCES: Final[Any] = sa.bindparam("resources", expanding=True)

# The columns of a row: those of an occurrence, and behind them those of the other parts.
_TYPES: Final[dict[str, sa.types.TypeEngine[Any]]] = {
    **{column.name: column.type for column in OCCURRENCE_COLUMNS},
    "raised_count": alarm_count.c.raised.type,
    "is_full": alarm_count.c.is_full.type,
    "awaited": alarm_count.c.awaited.type,
    "is_full_awaited": alarm_count.c.is_full_awaited.type,
    "message_id": transition.c.message_id.type,
    "inhibited": alarm_count.c.inhibited.type,
    "order_key": delivery.c.order_key.type,
    "subscriptions_changed_at": subscription.c.changed_at.type,
    "now": alarm.c.state_timestamp.type,
}


def _first_part(dialect: str) -> sa.Select[Any]:
    """Return the read of the occurrences, whose labels and types are those of the whole statement."""
    labels = list(_TYPES)[len(OCCURRENCE_COLUMNS) :]
    # PostgreSQL would take an untyped NULL for text.
    typed = sa.cast if dialect == "postgresql" else sa.type_coerce
    others = [typed(sa.null(), _TYPES[label]).label(label) for label in labels]
    return sa.select(sa.literal_column(f"'{OCCURRENCE}'").label("part"), *OCCURRENCE_COLUMNS, *others)


def _part(name: str, **columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Return the part *name* of the read: its own *columns*, and NULL in place of those of other parts."""
    values = ((columns[label] if label in columns else sa.null()).label(label) for label in _TYPES)
    return sa.select(sa.literal_column(f"'{name}'"), *values)


def _statement(dialect: str) -> sa.CompoundSelect[Any]:
    """Return the union of all parts, each with columns of its own."""
    counts = {label: alarm_count.c[label] for label in ("is_full", "awaited", "is_full_awaited", "inhibited")}
    keys = claims.by_index(sa.select(delivery.c.order_key).distinct(), delivery, "alarm")
    unfinished = keys.where(delivery.c.alarm_id.in_(_ALARMS), delivery.c.state.in_(UNFINISHED)).subquery()
    changed_at = sa.select(sa.func.max(subscription.c.changed_at)).scalar_subquery()
    present: sa.ColumnElement[Any] = sa.literal_column(utc_now(dialect), alarm.c.state_timestamp.type)
    return sa.union_all(
        _first_part(dialect).where(
            occurrence.c.alarm_id.in_(_ALARMS), occurrence.c.managed_object.in_(_OBJECTS), occurrence.c.latest
        ),
        _part(COUNT, alarm_id=alarm_count.c.alarm_id, raised_count=alarm_count.c.raised, **counts).where(
            alarm_count.c.alarm_id.in_(_ALARMS)
        ),
        _part(
            TRANSITION,
            alarm_id=transition.c.alarm_id,
            managed_object=transition.c.managed_object,
            message_id=transition.c.message_id,
        ).where(transition.c.alarm_id.in_(_ALARMS), transition.c.message_id.in_(_MESSAGES)),
        # By alarm, not by key: the keys are made of actions, which are not known until the alarms are locked.
        _part(DELIVERY, order_key=unfinished.c.order_key),
        _part(INHIBITION, resource_id=inhibition.c.resource_id, inhibited_by=inhibition.c.session_id).where(
            inhibition.c.resource_id.in_(_RESOURCES),
            inhibition.c.ended_at.is_(None),
            inhibition.c.expires_at > present,
        ),
        _part(MOMENTS, subscriptions_changed_at=changed_at, now=present),
    )


# Built once: it is sent with every batch.
STORED_STATE: Final = {name: _statement(name) for name in ("sqlite", "postgresql", "mysql", "mariadb")}


@dataclasses.dataclass(frozen=True, slots=True)
class StoredState:
    """What eventalarm's tables hold about the alarms of a batch, while their rows are locked.

    ``occurrences``: the latest one of each (alarm, managed object). ``raised``: on how many managed objects
    each alarm is raised. ``seen``: which (alarm, managed object, message) caused a transition (G2).
    ``unfinished``: which order keys of theirs have unfinished deliveries.
    ``subscribed``: when a subscription was last created or changed; None without any. ``full``: which alarms
    have reached the limit of raised occurrences. ``awaited`` and ``full_awaited``: the same for the managed
    objects whose absence is awaited. ``silent``: of how many raised occurrences of each alarm nobody was
    notified. ``inhibitions``: which sessions of maintenance inhibit which resources now. ``now``: the
    database's clock at the time of the read; None if nothing was read. ``asked_at``: when the read was begun,
    in seconds of the monotonic clock.
    """

    occurrences: dict[tuple[str, str], Occurrence]
    raised: dict[str, int]
    seen: set[tuple[str, str, str]]
    unfinished: set[str]
    subscribed: datetime.datetime | None = None
    full: frozenset[str] = frozenset()
    awaited: Mapping[str, int] = dataclasses.field(default_factory=dict)
    full_awaited: frozenset[str] = frozenset()
    silent: Mapping[str, int] = dataclasses.field(default_factory=dict)
    inhibitions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    now: datetime.datetime | None = None
    asked_at: float = 0.0

    def to_close_first(self, alarms: Mapping[str, Alarm]) -> list[str]:
        """Return which of the locked *alarms* were reset while very many of their occurrences are raised."""
        many = (name for name, count in self.raised.items() if count > CLOSE_AT_ONCE)
        return [name for name in many if name in alarms and alarms[name].state != ALARM]


def ask_stored_state(
    connection: sa.Connection,
    alarm_ids: Collection[str],
    managed_objects: Collection[str],
    message_ids: Collection[str],
    resources: Collection[str],
) -> Callable[[], StoredState]:
    """Return the function that returns what is stored about alarms, these managed objects and messages.

    Of maintenance, it is what inhibits *resources*. One statement for up to 500 alarms, executed now, behind
    the one that locks the alarms.
    """
    asked_at = time.monotonic()
    values: dict[str, Any] = {"objects": sorted(managed_objects), "messages": sorted(message_ids)}
    statement = STORED_STATE[connection.dialect.name]
    wanted = sorted({to_key(one) for one in resources})
    results: list[sa.Result[Any]] = []
    for chunk in in_chunks(alarm_ids):
        asked = values | {"alarms": chunk, "resources": [] if results else wanted}
        results.append(connection.execute(statement, asked))

    def read() -> StoredState:
        rows: defaultdict[str, list[Any]] = defaultdict(list)
        for result in results:
            for row in result.all():
                rows[row.part].append(row)
        return _stored_state(rows, asked_at)

    return read


def _stored_state(rows: Mapping[str, list[Any]], asked_at: float) -> StoredState:
    end = 1 + len(OCCURRENCE_COLUMNS)
    found = (Occurrence(*row[1:end]) for row in rows[OCCURRENCE])
    counts = rows[COUNT]
    awaiting = [row for row in counts if row.awaited]
    last = rows[MOMENTS][-1] if rows[MOMENTS] else None
    return StoredState(
        occurrences={(one.alarm_id, one.managed_object): one for one in found},
        raised={row.alarm_id: row.raised_count for row in counts},
        seen={(row.alarm_id, row.managed_object, row.message_id) for row in rows[TRANSITION]},
        unfinished={row.order_key for row in rows[DELIVERY]},
        subscribed=last.subscriptions_changed_at if last is not None else None,
        full=frozenset(row.alarm_id for row in counts if row.is_full),
        awaited={row.alarm_id: row.awaited for row in awaiting},
        full_awaited=frozenset(row.alarm_id for row in awaiting if row.is_full_awaited),
        silent={row.alarm_id: row.inhibited for row in counts if row.inhibited},
        # If several sessions inhibit a resource, all processes name the same one.
        inhibitions=dict(
            sorted(((row.resource_id, row.inhibited_by) for row in rows[INHIBITION]), reverse=True)
        ),
        now=last.now if last is not None else None,
        asked_at=asked_at,
    )
