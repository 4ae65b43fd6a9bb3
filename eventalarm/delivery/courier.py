"""From transitions to deliveries: one for each action, put into the outbox and given to the worker."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Protocol

import sqlalchemy as sa

from eventalarm.model import Delivery, Notification, Transition
from eventalarm.storage.outbox import Outbox, order_key


class Worker(Protocol):
    """The delivery worker of this process, as the courier needs it."""

    @property
    def worker_id(self) -> str | None:
        """Return the id under which deliveries are leased, or None while there is no valid lease."""

    def submit(self, deliveries: Sequence[Delivery]) -> None:
        """Start sending deliveries that are leased to us."""

    def recover(self) -> None:
        """Take up deliveries that are leased to us but that we do not hold."""


def to_deliveries(transition: Transition, make_id: Callable[[], str]) -> list[Delivery]:
    """Return one delivery for each action of *transition*, with Aodh's webhook fields."""
    notification = Notification(
        alarm_name=transition.alarm_name,
        alarm_id=transition.alarm_id,
        severity=transition.severity,
        previous=transition.previous,
        current=transition.current,
        reason=transition.reason,
        reason_data={"type": "event", "event": transition.event.body},
    )
    return [
        Delivery(
            delivery_id=make_id(),
            order_key=order_key(transition.alarm_id, action),
            alarm_id=transition.alarm_id,
            project_id=transition.project_id,
            action=action,
            notification=notification,
            created_at=transition.recorded_at,
        )
        for action in dict.fromkeys(transition.actions)
    ]


class OutboxCourier:
    """Puts deliveries into the outbox inside the evaluator's transaction, and releases them after it."""

    def __init__(
        self, outbox: Outbox, worker: Worker, make_id: Callable[[], str] = lambda: str(uuid.uuid4())
    ) -> None:
        self._outbox = outbox
        self._worker = worker
        self._make_id = make_id

    def enqueue(self, connection: sa.Connection, transitions: Sequence[Transition]) -> list[Delivery]:
        """Write the deliveries of *transitions*; return those that may be sent once committed, in order."""
        deliveries: list[Delivery] = []
        transition_ids: list[str] = []
        for transition in transitions:
            made = to_deliveries(transition, self._make_id)
            deliveries.extend(made)
            transition_ids.extend(transition.transition_id for _ in made)
        if not deliveries:
            return []
        return self._outbox.enqueue(connection, deliveries, transition_ids, self._worker.worker_id)

    def submit(self, deliveries: Sequence[Delivery]) -> None:
        """Give committed deliveries to the worker."""
        if deliveries:
            self._worker.submit(deliveries)

    def recover(self) -> None:
        """Have the worker look for what a commit of unknown outcome left to us."""
        self._worker.recover()
