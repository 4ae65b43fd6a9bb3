"""One attempt of one delivery: send, and turn whatever happens into a result."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable

from oslo_log import log

from eventalarm.delivery import retry
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.ports import Metrics, Sender
from eventalarm.exceptions import DeliveryError
from eventalarm.metrics import age
from eventalarm.model import UTC, Delivery, DeliveryResult, DeliveryState, parse_time

LOG = log.getLogger(__name__)


class Attempt:
    """Makes attempts; counts each by its result: ``delivered``, ``given_up``, or why it is repeated."""

    def __init__(
        self,
        sender: Sender,
        options: DeliveryOptions,
        metrics: Metrics,
        uniform: retry.Uniform,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(UTC),
    ) -> None:
        self._sender = sender
        self._options = options
        self._metrics = metrics
        self._uniform = uniform
        self._now = now

    async def __call__(self, delivery: Delivery) -> DeliveryResult:
        """Send *delivery* once; never raises, a sender's bug is a failed attempt too (G6)."""
        try:
            status = await self._sender.send(delivery)
        except DeliveryError as exc:
            return self._failed(delivery, exc)
        except Exception as exc:
            LOG.debug("Delivery %s failed unexpectedly", delivery.delivery_id, exc_info=True)
            return self._failed(delivery, DeliveryError("internal", type(exc).__name__))
        self._metrics.count("deliveries", result="delivered")
        self._observe_age(delivery)
        return retry.delivered(delivery, status)

    def _failed(self, delivery: Delivery, error: DeliveryError) -> DeliveryResult:
        result = retry.failed(delivery, error, self._options, self._uniform)
        given_up = result.state == DeliveryState.FAILED
        self._metrics.count("deliveries", result="given_up" if given_up else error.reason)
        if not given_up:
            self._metrics.count("delivery_retries", reason=error.reason)
        LOG.debug("Delivery %s, attempt %d: %s", result.delivery_id, result.attempts, error)
        return result

    def _observe_age(self, delivery: Delivery) -> None:
        """Record how old the event is now that its consumer knows of it."""
        event = delivery.notification.reason_data.get("event")
        # Without a time that can be read there is no age.
        with contextlib.suppress(ValueError, AttributeError):
            waited = age(parse_time(event.get("generated")), self._now())  # type: ignore[union-attr]
            self._metrics.observe("event_age_seconds", waited, stage="answered")
