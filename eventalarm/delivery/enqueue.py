"""Creates the deliveries of transitions, one per action, and writes them to the outbox."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

import sqlalchemy as sa

from eventalarm.delivery import loops
from eventalarm.delivery.action import destination
from eventalarm.model import Delivery, Notification, Transition, destination_of
from eventalarm.storage.deliveries import insert_refused, notified_reason, order_key, reason_data
from eventalarm.storage.outbox import Outbox


class Worker(Protocol):
    """The delivery worker of this process, or :class:`NoWorker`."""

    @property
    def owner(self) -> str | None:
        """The id to enqueue with, or None without a valid lease."""

    def submit(self, owner: str, deliveries: Sequence[Delivery], waiting: Iterable[str] = ()) -> None:
        """Send deliveries leased to *owner*, and claim what is due under the order keys in *waiting*."""


@dataclasses.dataclass(frozen=True, slots=True)
class Announced:
    """A delivery to a subscriber, and the id of the transition that it is about."""

    delivery: Delivery
    about: str


# Returns the deliveries to subscribers that transitions lead to; it may read and write in the transaction of
# the connection. The time is when a subscription was last created or changed, None without subscriptions.
# A function, because this package does not depend on that of subscriptions.
Announce = Callable[[sa.Connection, Sequence[Transition], datetime.datetime | None], list[Announced]]


@dataclasses.dataclass(frozen=True, slots=True)
class Enqueued:
    """What one transaction wrote to the outbox: *leased* deliveries may be sent at once.

    *waiting* are the order keys of those that must wait for an earlier one.
    """

    owner: str | None = None
    leased: tuple[Delivery, ...] = ()
    waiting: frozenset[str] = frozenset()


def to_deliveries(transition: Transition, make_id: Callable[[], str]) -> list[Delivery]:
    """Return one delivery for each action of *transition*, with Aodh's webhook fields."""
    notification = Notification(
        alarm_name=transition.alarm_name,
        alarm_id=transition.alarm_id,
        severity=transition.severity,
        previous=transition.previous,
        current=transition.current,
        reason=notified_reason(transition.reason, transition.inhibited_by),
        reason_data=reason_data(
            transition.event.body,
            kind=transition.kind.value,
            occurrence_id=transition.occurrence_id,
            managed_object=transition.managed_object,
            raised=transition.raised_count,
            objects=transition.objects,
            inhibited_by=transition.inhibited_by,
        ),
        event_json=transition.event.json() if transition.actions else "",
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
            destination=destination(action),
            profile=transition.event.profile,
        )
        for action in dict.fromkeys(transition.actions)
    ]


class NoWorker:
    """The worker of a process that sends nothing: other processes send what it enqueues."""

    owner: str | None = None

    def submit(self, owner: str, deliveries: Sequence[Delivery], waiting: Iterable[str] = ()) -> None:
        """Do nothing: without an owner nothing is leased."""


class OutboxEnqueuer:
    """Writes deliveries to the outbox in the caller's transaction, and has them sent after its commit.

    Call ``enqueue`` or ``enqueue_deliveries`` in the transaction, then ``submit`` once it is committed.
    """

    def __init__(
        self,
        outbox: Outbox,
        worker: Worker,
        make_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        announce: Announce | None = None,
    ) -> None:
        self._outbox = outbox
        self._worker = worker
        self._make_id = make_id
        self._announce = announce

    def enqueue(
        self,
        connection: sa.Connection,
        transitions: Sequence[Transition],
        unfinished: Collection[str] | None = None,
        subscribed: datetime.datetime | None = None,
    ) -> Enqueued:
        """Write the deliveries of *transitions*; return what :meth:`submit` needs once it is committed.

        *unfinished*: the order keys of their actions that have unfinished deliveries; None: look them up.
        *subscribed*: see :data:`Announce`.
        """
        deliveries: list[Delivery] = []
        transition_ids: list[str] = []
        for transition in transitions:
            made = self._refuse_loops(connection, transition, to_deliveries(transition, self._make_id))
            deliveries.extend(made)
            transition_ids.extend(transition.transition_id for _ in made)
        if self._announce is not None and transitions:
            announced = self._announce(connection, transitions, subscribed)
            if announced and unfinished is not None:
                keys = {item.delivery.order_key for item in announced}
                unfinished = self._outbox.unfinished(connection, keys).union(unfinished)
            deliveries.extend(item.delivery for item in announced)
            transition_ids.extend(item.about for item in announced)
        return self.enqueue_deliveries(connection, deliveries, transition_ids, unfinished)

    @staticmethod
    def _refuse_loops(
        connection: sa.Connection, transition: Transition, made: list[Delivery]
    ) -> list[Delivery]:
        """Write those of *made* that go to the destination that they are about; return the others."""
        if not destination_of(transition.event.body):
            return made
        refused = [one for one in made if loops.goes_back(transition.event.body, one.action)]
        if refused:
            insert_refused(connection, refused, transition.transition_id, loops.OWN_DESTINATION)
        return [one for one in made if one not in refused]

    def enqueue_deliveries(
        self,
        connection: sa.Connection,
        deliveries: Sequence[Delivery],
        about: Sequence[str],
        unfinished: Collection[str] | None = None,
    ) -> Enqueued:
        """Write *deliveries*; *about* are the ids of their transitions. Otherwise as :meth:`enqueue`."""
        if not deliveries:
            return Enqueued()
        owner = self._worker.owner
        leased = self._outbox.enqueue(connection, deliveries, about, owner, unfinished)
        sent = {item.delivery_id for item in leased}
        waiting = frozenset(item.order_key for item in deliveries if item.delivery_id not in sent)
        return Enqueued(owner, tuple(leased), waiting)

    def submit(self, enqueued: Enqueued) -> None:
        """Pass deliveries that are now committed to the worker."""
        if enqueued.owner is not None and (enqueued.leased or enqueued.waiting):
            self._worker.submit(enqueued.owner, enqueued.leased, enqueued.waiting)
