"""What the tables of eventalarm say of the alarms of a batch, read in one round trip under their locks."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Mapping
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.model import ALARM, UNFINISHED, Alarm, Occurrence
from eventalarm.storage.alarm_counts import CLOSE_AT_ONCE
from eventalarm.storage.clock import utc_now
from eventalarm.storage.column_types import in_chunks
from eventalarm.storage.tables import alarm, alarm_count, delivery, occurrence, subscription, transition

OCCURRENCE_COLUMNS: Final = tuple(occurrence.c[field.name] for field in dataclasses.fields(Occurrence))

_ALARMS: Final[Any] = sa.bindparam("alarms", expanding=True)
_OBJECTS: Final[Any] = sa.bindparam("objects", expanding=True)


def _named(what: str, **columns: Any) -> list[Any]:
    """Return the columns of one part of the picture: *what* it is, then those of an occurrence."""
    named = [columns.get(column.name, sa.null()).label(column.name) for column in OCCURRENCE_COLUMNS]
    return [sa.literal_column(f"'{what}'").label("what"), *named]


def _picture(dialect: str) -> sa.CompoundSelect[Any]:
    present: sa.ColumnElement[Any] = sa.literal_column(utc_now(dialect), alarm.c.state_timestamp.type)
    return sa.union_all(*_PARTS, sa.select(*_named("now", raised_at=present)))


# All that is read of our own tables, in one round trip; the columns of the first part name those of all.
_PARTS: Final = (
    sa.select(sa.literal_column("'occurrence'").label("what"), *OCCURRENCE_COLUMNS).where(
        occurrence.c.alarm_id.in_(_ALARMS), occurrence.c.managed_object.in_(_OBJECTS), occurrence.c.latest
    ),
    sa.select(
        *_named(
            "count", alarm_id=alarm_count.c.alarm_id, hits=alarm_count.c.raised, raised=alarm_count.c.is_full
        )
    ).where(alarm_count.c.alarm_id.in_(_ALARMS)),
    sa.select(
        *_named(
            "awaited",
            alarm_id=alarm_count.c.alarm_id,
            hits=alarm_count.c.awaited,
            raised=alarm_count.c.is_full_awaited,
        )
    ).where(alarm_count.c.alarm_id.in_(_ALARMS), alarm_count.c.awaited > 0),
    sa.select(
        *_named(
            "seen",
            occurrence_id=transition.c.message_id,
            alarm_id=transition.c.alarm_id,
            managed_object=transition.c.managed_object,
        )
    ).where(
        transition.c.alarm_id.in_(_ALARMS),
        transition.c.message_id.in_(sa.bindparam("messages", expanding=True)),
    ),
    sa.select(*_named("unfinished", managed_object=delivery.c.order_key)).where(
        delivery.c.order_key.in_(sa.bindparam("keys", expanding=True)), delivery.c.state.in_(UNFINISHED)
    ),
    sa.select(*_named("subscribed", raised_at=sa.func.max(subscription.c.changed_at))),
)
PICTURE: Final = {dialect: _picture(dialect) for dialect in ("sqlite", "postgresql", "mysql", "mariadb")}
# How many order keys the picture may ask for: SQLite takes 32,766 values.
MOST_KEYS: Final = 5000


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """What our tables say of the alarms of a batch, while their rows are locked.

    ``occurrences``: the latest one of each alarm on each managed object. ``raised``: on how many managed
    objects each alarm is raised. ``seen``: which (alarm, managed object, message) caused a transition (G2).
    ``unfinished``: which order keys have unfinished deliveries; None when that was too much to ask.
    ``subscribed``: when a subscription was last made or changed; None without any. ``full``: which alarms
    have had as many raised occurrences as are kept. ``awaited``, ``full_awaited``: the same of the objects
    whose absence is awaited. ``now``: the database's clock when it was read, None when
    nothing was.
    """

    occurrences: dict[tuple[str, str], Occurrence]
    raised: dict[str, int]
    seen: set[tuple[str, str, str]]
    unfinished: set[str] | None
    subscribed: datetime.datetime | None = None
    full: frozenset[str] = frozenset()
    awaited: Mapping[str, int] = dataclasses.field(default_factory=dict)
    full_awaited: frozenset[str] = frozenset()
    now: datetime.datetime | None = None

    def to_close_first(self, alarms: Mapping[str, Alarm]) -> list[str]:
        """Return which of the locked *alarms* were reset while very many of their occurrences are raised."""
        many = (name for name, count in self.raised.items() if count > CLOSE_AT_ONCE)
        return [name for name in many if name in alarms and alarms[name].state != ALARM]


def read_picture(
    connection: sa.Connection,
    alarm_ids: Collection[str],
    managed_objects: Collection[str],
    message_ids: Collection[str],
    order_keys: Collection[str],
) -> Picture:
    """Return what is known of locked alarms, of these managed objects, messages and order keys."""
    occurrences: dict[tuple[str, str], Occurrence] = {}
    raised: dict[str, int] = {}
    full: set[str] = set()
    awaited: dict[str, int] = {}
    full_awaited: set[str] = set()
    counts = {"count": (raised, full), "awaited": (awaited, full_awaited)}
    seen: set[tuple[str, str, str]] = set()
    unfinished: set[str] = set()
    subscribed: datetime.datetime | None = None
    now: datetime.datetime | None = None
    objects, messages = sorted(managed_objects), sorted(message_ids)
    few = len(order_keys) <= MOST_KEYS
    keys = sorted(order_keys) if few else []
    for chunk in in_chunks(alarm_ids):
        values = {"alarms": chunk, "objects": objects, "messages": messages, "keys": keys}
        for what, *row in connection.execute(PICTURE[connection.dialect.name], values):
            one = Occurrence(*row)
            if what == "occurrence":
                occurrences[one.alarm_id, one.managed_object] = one
            elif what in counts:
                number, most = counts[what]
                number[one.alarm_id] = one.hits
                if one.raised:
                    most.add(one.alarm_id)
            elif what == "seen":
                seen.add((one.alarm_id, one.managed_object, one.occurrence_id))
            elif what == "subscribed":
                subscribed = one.raised_at
            elif what == "now":
                now = one.raised_at
            else:
                unfinished.add(one.managed_object)
        keys = []
    return Picture(
        occurrences,
        raised,
        seen,
        unfinished if few else None,
        subscribed,
        full=frozenset(full),
        awaited=awaited,
        full_awaited=frozenset(full_awaited),
        now=now,
    )
