"""The unit of work of a transaction: reads the rows of locked alarms, and writes what decisions changed."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from collections.abc import Callable, Collection, Sequence

from eventalarm.delivery.enqueue import Enqueued, OutboxEnqueuer
from eventalarm.evaluator.batch_state import BatchState
from eventalarm.evaluator.inhibitions import Inhibitions
from eventalarm.evaluator.options import NeverInhibited, ResourceOf, no_resource, none_of_them
from eventalarm.evaluator.outcome import Outcome, ReasonUpdate
from eventalarm.evaluator.timers import TimerState
from eventalarm.log_fields import fields
from eventalarm.model import Alarm, Transition
from eventalarm.storage import alarm_counts, timers
from eventalarm.storage.alarm_counts import CloseFirst
from eventalarm.storage.database import Database
from eventalarm.storage.events import EventTexts
from eventalarm.storage.stored_state import StoredState
from eventalarm.storage.transitions import StateChange, Transaction

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class LockedRows:
    """The rows of the alarms that an open transaction has locked, as decisions change them.

    ``timers`` is None if none of the alarms has timers. ``now`` is the time of all changes, aware UTC.
    """

    transaction: Transaction
    state: BatchState
    timers: TimerState | None
    stored_state: StoredState
    now: datetime.datetime


class UnitOfWork:
    """Reads and writes the rows of locked alarms, each in a constant number of statements.

    :param clock: returns the current time as an aware UTC datetime.
    :param record_history: write records of Aodh's alarm history.
    :param max_occurrences: the maximum number of managed objects on which an alarm is raised.
    :param resource_of: names the resource of an occurrence, for readers.
    :param never_inhibited: returns which types of events no maintenance inhibits.
    """

    def __init__(
        self,
        database: Database,
        enqueuer: OutboxEnqueuer,
        clock: Callable[[], datetime.datetime],
        *,
        record_history: bool,
        max_occurrences: int,
        resource_of: ResourceOf = no_resource,
        never_inhibited: NeverInhibited = none_of_them,
    ) -> None:
        self._database = database
        self._enqueuer = enqueuer
        self._clock = clock
        self._record_history = record_history
        self._max_occurrences = max_occurrences
        self._resource_of = resource_of
        self._never_inhibited = never_inhibited

    def read(
        self,
        transaction: Transaction,
        alarms: dict[str, Alarm],
        objects: Collection[str],
        messages: Collection[str],
        timer_state: TimerState | None,
        *,
        resources: Collection[str],
        handled_elsewhere: Collection[tuple[str, str]] = (),
    ) -> LockedRows:
        """Read what decisions about *alarms* depend on; *transaction* has locked them.

        :param objects: the managed objects that are concerned.
        :param messages: the keys of the messages of the events, to recognize duplicates.
        :param resources: all that the resources of the alarms may be, which maintenance may inhibit.
        :param handled_elsewhere: (alarm, message key) pairs that another evaluator has processed.
        :raises CloseFirst: when an alarm has too many occurrences to close in this transaction.
        """
        stored_state = transaction.stored_state(alarms, objects, messages, resources)
        if stored_state.now is not None:
            self._database.clock.observe(stored_state.now, stored_state.asked_at)
        if timer_state is not None:
            timer_state.bound(stored_state.awaited, stored_state.full_awaited, self._max_occurrences)
        if large := stored_state.to_close_first(alarms):
            raise CloseFirst(large)
        now = self._clock()
        state = self._batch_state(alarms, stored_state, frozenset(handled_elsewhere), now)
        return LockedRows(transaction, state, timer_state, stored_state, now)

    def _batch_state(
        self,
        alarms: dict[str, Alarm],
        stored_state: StoredState,
        handled_elsewhere: frozenset[tuple[str, str]],
        now: datetime.datetime,
    ) -> BatchState:
        return BatchState(
            alarms,
            stored_state.occurrences,
            stored_state.raised,
            stored_state.seen,
            handled_elsewhere=handled_elsewhere,
            now=now,
            limit=self._max_occurrences,
            full=stored_state.full,
            resource_of=self._resource_of,
            silent=stored_state.silent,
            inhibitions=Inhibitions(stored_state.inhibitions, self._never_inhibited),
        )

    def write(self, rows: LockedRows, texts: EventTexts | None = None) -> tuple[Enqueued, list[Transition]]:
        """Write all changes; return what to submit after the commit, and the stored transitions."""
        texts = texts or EventTexts()
        outcome = rows.state.outcome()
        self._write_occurrences(rows, outcome)
        rows.transaction.write_transitions(outcome.transitions, texts)
        self._write_states(rows, outcome)
        self._write_timers(rows)
        stored = [texts.as_stored(one) for one in outcome.transitions]
        notified = [one for one in stored if one.inhibited_by is None]
        enqueued = self._enqueuer.enqueue(
            rows.transaction.connection, notified, rows.stored_state.unfinished, rows.stored_state.subscribed
        )
        return enqueued, stored

    def _write_occurrences(self, rows: LockedRows, outcome: Outcome) -> None:
        rows.transaction.close_occurrences(outcome.externally_reset, rows.now)
        rows.transaction.write_occurrences(
            outcome.occurrences, known=outcome.known, superseded=frozenset(outcome.superseded)
        )
        counts = (
            alarm_counts.AlarmCount(one.alarm_id, one.raised, one.full, one.inhibited)
            for one in outcome.counts
        )
        alarm_counts.put(rows.transaction.connection, counts, rows.now)

    def _write_states(self, rows: LockedRows, outcome: Outcome) -> None:
        changes = [
            StateChange(t.alarm_id, t.project_id, t.severity, t.current, t.reason)
            for t in outcome.state_changes
        ]
        for update in (*outcome.reason_updates, *_limits_reached(rows)):
            alarm = update.alarm
            project_id = alarm.definition.project_id
            LOG.warning(
                "Alarm %s: %s",
                alarm.alarm_id,
                update.reason,
                extra=fields(alarm_id=alarm.alarm_id, project_id=project_id),
            )
            changes.append(
                StateChange(alarm.alarm_id, project_id, alarm.severity, alarm.state, update.reason)
            )
        rows.transaction.write_states({c.alarm_id: c for c in changes}, rows.now)
        if self._record_history:
            rows.transaction.write_history(changes, rows.now)

    def _write_timers(self, rows: LockedRows) -> None:
        if rows.timers is None:
            return
        connection = rows.transaction.connection
        awaited = (alarm_counts.Awaited(*one) for one in rows.timers.counts())
        alarm_counts.put_awaited(connection, awaited, rows.now)
        puts, gone = rows.timers.changes()
        timers.put(connection, puts)
        timers.drop(connection, gone)


def _limits_reached(rows: LockedRows) -> Sequence[ReasonUpdate]:
    """Return the reasons of alarms that have just reached the limit of awaited objects."""
    if rows.timers is None:
        return ()
    return [
        ReasonUpdate(rows.state.alarms[name], text) for name, text in rows.timers.limits_reached().items()
    ]
