"""Makes attempts of deliveries, and decides what each result means for the delivery and its destination."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import random
import time
from collections.abc import Callable, Sequence

from oslo_log import log

from eventalarm.backoff import Uniform
from eventalarm.delivery import loops, retry
from eventalarm.delivery.batches import make_batch
from eventalarm.delivery.circuit_board import CircuitBoard
from eventalarm.delivery.dead_letters import DeadLetterLog
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.profiling import ProfileObserver
from eventalarm.delivery.senders.base import Sender
from eventalarm.exceptions import DeliveryError
from eventalarm.metrics import Metrics, age
from eventalarm.model import UTC, Delivery, DeliveryResult, DeliveryState, parse_time

LOG = log.getLogger(__name__)


class Attempt:
    """Makes attempts, and counts deliveries by their results.

    These are ``delivered``, ``given_up``, ``superseded``, or the reason for a retry.

    :param circuits: are told what each attempt says of its destination.
    :param profiles: receives the times of profiled deliveries that were accepted.
    :param clock: the time of day in seconds since 1970, for profiles.
    """

    def __init__(
        self,
        sender: Sender,
        options: DeliveryOptions,
        metrics: Metrics,
        circuits: CircuitBoard,
        *,
        profiles: ProfileObserver | None = None,
        clock: Callable[[], float] = time.time,
        uniform: Uniform = random.uniform,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(UTC),
    ) -> None:
        self._sender = sender
        self._options = options
        self._metrics = metrics
        self._circuits = circuits
        self._profiles = profiles or ProfileObserver(metrics)
        self._clock = clock
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
            self._circuits.gave_up(deliveries)
            self._metrics.count("deliveries", len(deliveries), result="given_up")
            return [retry.disabled(one, circuit) for one in deliveries]
        if any(_goes_back(one) for one in deliveries):
            return [self._refused(deliveries[0])] if len(deliveries) == 1 else None
        if len(deliveries) > 1:
            return await self._send_batch(deliveries)
        return [await self._send_one(deliveries[0])]

    def _refused(self, delivery: Delivery) -> DeliveryResult:
        """Give up a delivery that was retried or replayed, and goes to the destination that it is about."""
        self._circuits.gave_up((delivery,))
        self._metrics.count("deliveries", result="given_up")
        return retry.refused(delivery, loops.OWN_DESTINATION)

    def skip(self, delivery: Delivery) -> DeliveryResult:
        """Return the result of a superseded delivery, which is not sent."""
        self._circuits.pass_on_probe(delivery)
        self._metrics.count("deliveries", result=retry.SUPERSEDED)
        LOG.debug("Delivery %s is not sent: superseded by %s", delivery.delivery_id, delivery.superseded_by)
        return retry.superseded(delivery)

    async def _send_one(self, delivery: Delivery) -> DeliveryResult:
        lost = retry.lost(delivery, self._options)
        if lost is not None:
            self._circuits.gave_up((delivery,))
            self._metrics.count("deliveries", result="given_up")
            self._dead_letters.report(delivery, lost.attempts, lost.error)
            return lost
        sent = self._clock()
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
        return self._delivered(delivery, status, sent)

    async def _send_batch(self, deliveries: Sequence[Delivery]) -> list[DeliveryResult] | None:
        sent = self._clock()
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
        return [self._delivered(delivery, status, sent) for delivery in deliveries]

    def _delivered(self, delivery: Delivery, status: int | None, sent: float) -> DeliveryResult:
        result = retry.delivered(delivery, status)
        if delivery.profile is None:
            return result
        found = delivery.profile.sent(sent, self._clock())
        self._profiles.answered(delivery, found)
        return dataclasses.replace(result, profile=found.text())

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


def _goes_back(delivery: Delivery) -> bool:
    event = delivery.notification.reason_data.get("event")
    return not delivery.subscription_id and loops.goes_back(event, delivery.action)
