"""Starts calls when the scheduler allows, makes them, and passes their results to the recorder."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from oslo_log import log

from eventalarm.backoff import Uniform
from eventalarm.delivery import retry
from eventalarm.delivery.batches import first_of_each, make_batch
from eventalarm.delivery.circuit_board import CircuitBoard
from eventalarm.delivery.dead_letters import DeadLetterLog
from eventalarm.delivery.names import PROJECT
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.queues import Call
from eventalarm.delivery.senders.base import Sender
from eventalarm.delivery.worker_state import Due, WorkerState
from eventalarm.exceptions import DeliveryError, Retryable
from eventalarm.metrics import Metrics, age
from eventalarm.model import UTC, Delivery, DeliveryResult, DeliveryState, parse_time

LOG = log.getLogger(__name__)

# Seconds within which a call counts as prompt, see Scheduler.
PROMPT: Final = 1.0


class Attempt:
    """Makes attempts; counts each by its result: ``delivered``, ``given_up``, or the reason for a retry.

    :param circuits: are told what each attempt says of its destination.
    """

    def __init__(
        self,
        sender: Sender,
        options: DeliveryOptions,
        metrics: Metrics,
        circuits: CircuitBoard,
        *,
        uniform: Uniform = random.uniform,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(UTC),
    ) -> None:
        self._sender = sender
        self._options = options
        self._metrics = metrics
        self._circuits = circuits
        self._uniform = uniform
        self._now = now
        self._dead_letters = DeadLetterLog()

    async def send(self, deliveries: Sequence[Delivery]) -> list[DeliveryResult] | None:
        """Send *deliveries*, several in one batch; return a result for each.

        Never raises: a sender's bug is a failed attempt too (G6). A failed batch is one failed attempt of
        each delivery, and all are due again at the same time. None means that the consumer will never accept
        this batch, but perhaps its deliveries one by one.
        """
        circuit = self._circuits.disabled(deliveries[0])
        if circuit is not None:
            self._metrics.count("deliveries", len(deliveries), result="given_up")
            return [retry.disabled(one, circuit) for one in deliveries]
        if len(deliveries) > 1:
            return await self._send_batch(deliveries)
        return [await self._send_one(deliveries[0])]

    async def _send_one(self, delivery: Delivery) -> DeliveryResult:
        lost = retry.lost(delivery, self._options)
        if lost is not None:
            self._metrics.count("deliveries", result="given_up")
            self._dead_letters.report(delivery, lost.attempts, lost.error)
            return lost
        try:
            status = await self._sender.send(delivery)
        except DeliveryError as exc:
            self._circuits.note((delivery,), exc)
            return self._failed(delivery, exc)
        except Exception as exc:
            LOG.debug("Delivery %s failed unexpectedly", delivery.delivery_id, exc_info=True)
            error = DeliveryError("internal", type(exc).__name__)
            self._circuits.note((delivery,), error)
            return self._failed(delivery, error)
        self._circuits.note((delivery,))
        self._metrics.count("deliveries", result="delivered")
        self._observe_age(delivery)
        return retry.delivered(delivery, status)

    async def _send_batch(self, deliveries: Sequence[Delivery]) -> list[DeliveryResult] | None:
        try:
            status = await self._sender.send(make_batch(deliveries))
        except DeliveryError as exc:
            self._circuits.note(deliveries, exc)
            return None if exc.permanent else self._batch_failed(deliveries, exc)
        except Exception as exc:
            LOG.debug("A batch of %d deliveries failed unexpectedly", len(deliveries), exc_info=True)
            error = DeliveryError("internal", type(exc).__name__)
            self._circuits.note(deliveries, error)
            return self._batch_failed(deliveries, error)
        self._circuits.note(deliveries)
        self._metrics.count("deliveries", len(deliveries), result="delivered")
        for delivery in deliveries:
            self._observe_age(delivery)
        return [retry.delivered(delivery, status) for delivery in deliveries]

    def _batch_failed(self, deliveries: Sequence[Delivery], error: DeliveryError) -> list[DeliveryResult]:
        share = self._uniform(0.0, 1.0)
        return [self._failed(one, error, lambda low, high: low + share * (high - low)) for one in deliveries]

    def _failed(
        self, delivery: Delivery, error: DeliveryError, uniform: Uniform | None = None
    ) -> DeliveryResult:
        result = retry.failed(
            delivery,
            error,
            self._options,
            uniform or self._uniform,
            age=(self._circuits.now() - delivery.owed_since).total_seconds(),
            deferred=self._circuits.defers((delivery,)),
        )
        given_up = result.state == DeliveryState.FAILED
        self._metrics.count("deliveries", result="given_up" if given_up else error.reason)
        if given_up:
            self._dead_letters.report(delivery, result.attempts, str(error), error.reason)
        else:
            self._metrics.count("delivery_retries", reason=error.reason)
        LOG.debug("Delivery %s, attempt %d: %s", result.delivery_id, result.attempts, error)
        return result

    def _observe_age(self, delivery: Delivery) -> None:
        """Record the age of the event, now that its consumer has received it for the first time."""
        if delivery.replay_id:
            return
        event = delivery.notification.reason_data.get("event")
        # An event without a readable time has no age.
        with contextlib.suppress(ValueError, AttributeError):
            waited = age(parse_time(event.get("generated")), self._now())  # type: ignore[union-attr]
            self._metrics.observe("event_age_seconds", waited, stage="answered")


class Calls:
    """Makes the calls of this process. Its length is the number of calls in flight.

    Not thread-safe: it belongs to the event loop.
    """

    def __init__(
        self,
        state: WorkerState,
        attempt: Attempt,
        metrics: Metrics,
    ) -> None:
        self._scheduler = state.scheduler
        self._windows = state.windows
        self._lease = state.lease
        self._attempt = attempt
        self._writes = state.writes
        self._outbox = state.outbox
        self._threads = state.threads
        self._circuits = state.circuits
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def send(self, call: Call) -> None:
        """Queue a call; without a valid lease or room in memory it is returned to the outbox."""
        if not self._lease.accepts(call.owner):
            self._writes.give_back(call.owner, call.ids)
        elif self._circuits.defers(call.deliveries):
            self._writes.give_back(call.owner, call.ids, Due.DEFERRED)
        elif not self._scheduler.put(call):
            self._writes.give_back(call.owner, call.ids, Due.LATER)
        self.start_ready()

    def start_ready(self) -> None:
        """Start every call that may start now."""
        while self._lease.usable() is not None:
            call = self._scheduler.take()
            if call is None:
                return
            task = asyncio.create_task(self._make(call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def forget(self, calls: Iterable[Call]) -> None:
        """Stop holding *calls*, whose results are recorded, and start others."""
        for call in calls:
            self._scheduler.forget(call)
        self.start_ready()

    async def finish(self, grace: float) -> None:
        """Wait up to *grace* seconds for the calls in flight, then cancel the rest."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        await cancel(self._tasks)

    async def _make(self, call: Call) -> None:
        PROJECT.set(call.delivery.project_id)
        if self._circuits.defers(call.deliveries):
            self._defer(call)
            return
        started = self._lease.now()
        overdue = asyncio.get_running_loop().call_later(PROMPT, self._overdue, call)
        results: list[DeliveryResult] | None = []
        try:
            if await self._may_begin(call):
                results = await self._attempt.send(call.deliveries)
        finally:
            overdue.cancel()
            took = self._lease.now() - started
            self._scheduler.finished(call, prompt=took < PROMPT)
        if results is None:
            self._send_one_by_one(call)
        elif not results:
            self._scheduler.forget(call)
            self._writes.give_back(call.owner, call.ids)
        else:
            self._metrics.observe("delivery_seconds", took)
            for delivery, result in zip(call.deliveries, results, strict=True):
                made = result.attempts > delivery.attempts
                timed = dataclasses.replace(result, latency=took) if made else result
                self._writes.add(Call(call.owner, delivery, call.destination), timed)
        self.start_ready()

    def _defer(self, call: Call) -> None:
        """Return the deliveries of a call whose circuit opened while it was queued."""
        self._scheduler.finished(call, prompt=False)
        self._scheduler.forget(call)
        self._writes.give_back(call.owner, call.ids, Due.DEFERRED)
        self.start_ready()

    def _overdue(self, call: Call) -> None:
        """Begin others in place of a call that lasts too long to count as prompt."""
        self._scheduler.overdue(call)
        self.start_ready()

    async def _may_begin(self, call: Call) -> bool:
        """Return True if the lease is valid; first mark deliveries during which a process ended before."""
        if not self._lease.holds(call.owner):
            return False
        if not any(delivery.losses for delivery in call.deliveries):
            return True
        try:
            marked = await self._threads.run(self._outbox.begin, call.owner, call.ids)
        except Retryable:
            return False
        return marked and self._lease.holds(call.owner)

    def _send_one_by_one(self, call: Call) -> None:
        """Send the deliveries of a batch that its consumer refuses, each by itself."""
        self._windows.refused(call.deliveries, self._lease.now())
        self._scheduler.forget(call)
        alone, waiting = first_of_each(call.deliveries)
        self._writes.give_back(call.owner, [delivery.delivery_id for delivery in waiting])
        for delivery in alone:
            self.send(Call(call.owner, delivery, call.destination))


async def cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel *tasks* and wait until each has ended."""
    ended = list(tasks)
    for task in ended:
        task.cancel()
    await asyncio.gather(*ended, return_exceptions=True)
