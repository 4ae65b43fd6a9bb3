"""Arms and removes timers as the definitions of alarms require."""

from __future__ import annotations

import datetime
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

import cachetools

from eventalarm.evaluator.decide import NOTIFICATION_TYPE
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.outage import RETRY_AFTER, LockedAlarms
from eventalarm.evaluator.timer_decisions import compiled_rule
from eventalarm.evaluator.timer_rules import required_timers
from eventalarm.evaluator.timers import waits
from eventalarm.exceptions import Locked
from eventalarm.model import ALARM, Timer, TimerKind
from eventalarm.storage import alarm_counts, timers
from eventalarm.storage.alarm_counts import Awaited
from eventalarm.storage.clock import ask
from eventalarm.storage.column_types import in_chunks
from eventalarm.storage.database import Database
from eventalarm.storage.transitions import Transaction

# Maximum number of timers that one transaction writes when definitions change, to keep locks short.
ARM_AT_ONCE: Final = 1000


# Maximum number of alarms whose version is remembered, so that a definition is not processed twice.
REMEMBERED: Final = 100_000


Item = TypeVar("Item", Timer, timers.Raised)


def _by_alarm(items: Iterable[Item]) -> Mapping[str, list[Item]]:
    found: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        found[item.alarm_id].append(item)
    return found


def _awaited(known: Sequence[Timer], puts: Sequence[Timer], gone: Sequence[Timer]) -> list[Awaited]:
    """Return the number of timers that count towards the limit, for each alarm where it changes."""
    counted = (TimerKind.ABSENCE, TimerKind.OBJECTS)
    changed = {one.alarm_id for one in (*puts, *gone) if one.kind in counted}
    rows = {one.timer_id: one for one in (*known, *puts)}
    for one in gone:
        del rows[one.timer_id]
    waiting = Counter(one.alarm_id for one in rows.values() if waits(one))
    return [Awaited(alarm_id, waiting[alarm_id], False) for alarm_id in sorted(changed)]


class TimerArming:
    """Arms and removes timers as definitions require; belongs to the thread of the timers.

    :param locked: the alarms that another session keeps locked; their timers are armed later.
    :param overlap: seconds by which the clocks of the Aodh API hosts may differ.
    :param look_at_all: seconds between two complete checks of all definitions.
    """

    def __init__(
        self,
        database: Database,
        cache: AlarmCache,
        locked: LockedAlarms,
        *,
        overlap: float,
        look_at_all: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._cache = cache
        self._locked = locked
        self._reader = timers.TimerReader(database)
        self._overlap = datetime.timedelta(seconds=overlap)
        self._look_at_all = look_at_all
        self._monotonic = monotonic
        self._next_full = monotonic()
        self._next_retry = 0.0
        self._unarmed: set[str] = set()
        self._looked_at: datetime.datetime | None = None
        self._seen: cachetools.LRUCache[str, datetime.datetime] = cachetools.LRUCache(REMEMBERED)

    def arm_changed(self) -> None:
        """Arm the timers of definitions that changed since the last call, and periodically check all.

        :raises Retryable: when the database failed; calling again is safe.
        """
        if self._locked and self._monotonic() >= self._next_retry:
            self._next_retry = self._monotonic() + RETRY_AFTER
            self._locked.retry()
            self.arm(sorted(self._unarmed))
        if self._looked_at is not None:
            changed = self._reader.changed(NOTIFICATION_TYPE, self._looked_at - self._overlap)
            new = {name: version for name, version in changed if self._seen.get(name) != version}
            self.arm(list(new))
            self._seen.update(new)
        if self._monotonic() >= self._next_full:
            self._arm_all()
            self._next_full = self._monotonic() + self._look_at_all
        self._looked_at = self._database.earliest_now(self._look_at_all)

    def _arm_all(self) -> None:
        """Arm the alarms that await an absence but have no timer for it."""
        after = ""
        while page := self._reader.unwatched(NOTIFICATION_TYPE, TimerKind.ABSENCE.value, after):
            self.arm(page)
            if len(page) < timers.PAGE:
                break
            after = page[-1]

    def arm(self, alarm_ids: Sequence[str]) -> None:
        """Write and remove timers as the definitions of these alarms require; idempotent.

        Alarms that another session keeps locked are armed later.
        """
        for chunk in in_chunks(alarm_ids):
            self._unarmed.difference_update(chunk)
            locked = self._locked.among(chunk) if self._locked else set()
            free = [alarm_id for alarm_id in chunk if alarm_id not in locked]
            self._unarmed |= locked
            try:
                while self._arm(free):
                    pass
            except Locked as exc:
                if not self._locked.find(free, exc):
                    self._locked.skip(free, exc)
                self.arm(free)

    def _arm(self, alarm_ids: Sequence[str]) -> bool:
        """Write and remove at most ``ARM_AT_ONCE`` rows; return True if there are more."""
        if not alarm_ids:
            return False
        puts: list[Timer] = []
        with self._database.begin() as connection:
            alarms = Transaction(connection).lock(alarm_ids)
            now = ask(connection)
            known = timers.of_alarms(connection, alarm_ids)
            raised = timers.raised_objects(connection, alarm_ids)
            mine, objects = _by_alarm(known), _by_alarm(raised)
            gone = [timer for timer in known if timer.alarm_id not in alarms]
            for name, alarm in alarms.items():
                active = [one.managed_object for one in objects[name] if alarm.state == ALARM]
                more, less = required_timers(
                    alarm, compiled_rule(self._cache, alarm), mine[name], active, now
                )
                puts += more
                gone += less
            unfinished = len(puts) + len(gone) > ARM_AT_ONCE
            gone, puts = gone[:ARM_AT_ONCE], puts[: max(0, ARM_AT_ONCE - len(gone))]
            timers.put(connection, puts)
            timers.drop(connection, [timer.timer_id for timer in gone])
            awaited = _awaited(known, puts, gone)
            alarm_counts.put_awaited(connection, [one for one in awaited if one.alarm_id in alarms], now)
            return unfinished
