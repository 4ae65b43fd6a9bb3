"""The writing stage, for events and timers alike: what became of locked alarms, in their open transaction."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

import sqlalchemy as sa

from eventalarm.evaluator.batch_state import AlarmNotification, BatchState
from eventalarm.evaluator.timers import Timekeeper
from eventalarm.model import Alarm, Transition
from eventalarm.storage import alarm_counts, timers
from eventalarm.storage.events import EventTexts
from eventalarm.storage.transitions import Picture, StateChange, Transaction

LOG = logging.getLogger(__name__)

S = TypeVar("S")


class Enqueuer(Protocol[S]):
    """The delivery side, as the evaluator needs it; *S* is what it passes from one call to the other."""

    def order_keys(self, alarms: Iterable[Alarm]) -> Collection[str]:
        """Return under which keys the deliveries of *alarms* are kept in order."""

    def enqueue(
        self,
        connection: sa.Connection,
        transitions: Sequence[Transition],
        unfinished: Collection[str] | None,
        subscribed: datetime.datetime | None,
    ) -> S:
        """Write the deliveries of *transitions* in the open transaction.

        *unfinished* are the order keys with unfinished deliveries, if they were asked for; *subscribed* is
        when a subscription was last made or changed.
        """

    def submit(self, shipment: S) -> None:
        """Start sending what :meth:`enqueue` wrote, now that it is committed."""


class UnitOfWork(Generic[S]):
    """Writes a ledger and its timers in a constant number of statements, and its deliveries.

    :param record_history: whether Aodh's own history gets its records.
    """

    def __init__(self, courier: Enqueuer[S], *, record_history: bool) -> None:
        self._courier = courier
        self._record_history = record_history

    def write(
        self,
        transaction: Transaction,
        ledger: BatchState,
        keeper: Timekeeper | None,
        picture: Picture,
        now: datetime.datetime,
        *,
        texts: EventTexts | None = None,
    ) -> tuple[S, list[Transition]]:
        """Write everything; return what the courier submits after the commit, and what was recorded."""
        outcome = ledger.outcome()
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
        notices = list(outcome.notices)
        if keeper is not None:
            reasons = keeper.overflown().items()
            notices += [AlarmNotification(ledger.alarms[alarm_id], reason) for alarm_id, reason in reasons]
        self._write_states(transaction, outcome.state_changes, notices, now)
        if keeper is not None:
            alarm_counts.put_awaited(
                transaction.connection, (alarm_counts.Awaited(*one) for one in keeper.counts()), now
            )
            puts, gone = keeper.changes()
            timers.put(transaction.connection, puts)
            timers.drop(transaction.connection, gone)
        told = [texts.as_stored(one) for one in outcome.transitions]
        shipment = self._courier.enqueue(transaction.connection, told, picture.unfinished, picture.subscribed)
        return shipment, told

    def _write_states(
        self,
        transaction: Transaction,
        news: Sequence[Transition],
        notices: Sequence[AlarmNotification],
        now: datetime.datetime,
    ) -> None:
        changes = [StateChange(t.alarm_id, t.project_id, t.severity, t.current, t.reason) for t in news]
        for notice in notices:
            alarm = notice.alarm
            LOG.warning("Alarm %s: %s", alarm.alarm_id, notice.reason)
            project_id = alarm.definition.project_id
            changes.append(
                StateChange(alarm.alarm_id, project_id, alarm.severity, alarm.state, notice.reason)
            )
        transaction.write_states({c.alarm_id: c for c in changes}, now)
        if self._record_history:
            transaction.write_history(changes, now)
