"""What is done with the profile of a delivery once its consumer has answered."""

from __future__ import annotations

import logging

from eventalarm.delivery.spans import SpanSender
from eventalarm.metrics import Metrics
from eventalarm.model import Delivery, Profile
from eventalarm.profile.stages import Origin, break_down

LOG = logging.getLogger(__name__)


class ProfileObserver:
    """Counts the times of the stages of profiled deliveries, and sends them as spans if that is wanted."""

    def __init__(self, metrics: Metrics, spans: SpanSender | None = None) -> None:
        self._metrics = metrics
        self._spans = spans

    def answered(self, delivery: Delivery, profile: Profile) -> None:
        """Observe each stage between two checkpoints of services.

        The names that reporters choose are no labels, and times of clocks that differ would be wrong.
        """
        found = break_down(profile, (), _event_type(delivery))
        if found is None:
            return
        for stage in found.stages:
            if stage.origin is Origin.SERVICE and stage.seconds >= 0:
                self._metrics.observe("stage_seconds", stage.seconds, stage=stage.checkpoint)
        if self._spans is not None:
            try:
                self._spans.send(delivery, found)
            except Exception:
                LOG.debug("The spans of delivery %s cannot be sent", delivery.delivery_id, exc_info=True)


def _event_type(delivery: Delivery) -> str:
    event = delivery.notification.reason_data.get("event")
    return str(event.get("event_type", "")) if isinstance(event, dict) else ""
