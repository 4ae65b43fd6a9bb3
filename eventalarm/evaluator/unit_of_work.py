"""The unit of work: writes all changes of a batch of events or timers in its open transaction."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Sequence

from eventalarm.delivery.enqueue import Enqueued, OutboxEnqueuer
from eventalarm.evaluator.batch_state import BatchState, ReasonUpdate
from eventalarm.evaluator.timers import TimerState
from eventalarm.model import Transition
from eventalarm.storage import alarm_counts, timers
from eventalarm.storage.events import EventTexts
from eventalarm.storage.picture import Picture
from eventalarm.storage.transitions import StateChange, Transaction

LOG = logging.getLogger(__name__)


class UnitOfWork:
    """Writes a batch state, its timers and its deliveries in a constant number of statements.

    :param record_history: write records of Aodh's alarm history.
    """

    def __init__(self, enqueuer: OutboxEnqueuer, *, record_history: bool) -> None:
        self._enqueuer = enqueuer
        self._record_history = record_history

    def write(
        self,
        transaction: Transaction,
        state: BatchState,
        timer_state: TimerState | None,
        picture: Picture,
        now: datetime.datetime,
        *,
        texts: EventTexts | None = None,
    ) -> tuple[Enqueued, list[Transition]]:
        """Write all changes; return what to submit after the commit, and the stored transitions."""
        outcome = state.outcome()
        transaction.close_occurrences(outcome.externally_reset, now)
        transaction.write_occurrences(
            outcome.occurrences, known=outcome.known, superseded=frozenset(outcome.superseded)
        )
        alarm_counts.put(
            transaction.connection,
            (alarm_counts.AlarmCount(one.alarm_id, one.raised, one.full) for one in outcome.counts),
            now,
        )
        texts = texts or EventTexts()
        transaction.write_transitions(outcome.transitions, texts)
        updates = list(outcome.reason_updates)
        if timer_state is not None:
            reasons = timer_state.overflown().items()
            updates += [ReasonUpdate(state.alarms[alarm_id], reason) for alarm_id, reason in reasons]
        self._write_states(transaction, outcome.state_changes, updates, now)
        if timer_state is not None:
            alarm_counts.put_awaited(
                transaction.connection, (alarm_counts.Awaited(*one) for one in timer_state.counts()), now
            )
            puts, gone = timer_state.changes()
            timers.put(transaction.connection, puts)
            timers.drop(transaction.connection, gone)
        stored = [texts.as_stored(one) for one in outcome.transitions]
        enqueued = self._enqueuer.enqueue(
            transaction.connection, stored, picture.unfinished, picture.subscribed
        )
        return enqueued, stored

    def _write_states(
        self,
        transaction: Transaction,
        news: Sequence[Transition],
        updates: Sequence[ReasonUpdate],
        now: datetime.datetime,
    ) -> None:
        changes = [StateChange(t.alarm_id, t.project_id, t.severity, t.current, t.reason) for t in news]
        for update in updates:
            alarm = update.alarm
            LOG.warning("Alarm %s: %s", alarm.alarm_id, update.reason)
            project_id = alarm.definition.project_id
            changes.append(
                StateChange(alarm.alarm_id, project_id, alarm.severity, alarm.state, update.reason)
            )
        transaction.write_states({c.alarm_id: c for c in changes}, now)
        if self._record_history:
            transaction.write_history(changes, now)
