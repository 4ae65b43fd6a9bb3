"""The log of deliveries that were given up, a bounded number of lines for each project."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

import cachetools

from eventalarm.delivery import action, retry
from eventalarm.log_fields import fields
from eventalarm.model import Delivery

LOG = logging.getLogger(__name__)

# A tenant can make thousands of deliveries fail; eventalarm-delivery lists those that are not logged too.
LINES: Final = 10
SECONDS: Final = 60.0
PROJECTS: Final = 1000
# Reasons that are not logged for each delivery: the subscriber ended these deliveries itself, or the log says
# once that the destination is disabled.
EXPECTED: Final = frozenset({"unsubscribed", "suspended", retry.DISABLED})


class DeadLetterLog:
    """Logs dead deliveries at WARNING: alarm, project, destination without secrets, reason, remedy.

    Each project has :data:`LINES` lines per :data:`SECONDS`; the first line after that says how many
    deliveries were not logged.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        # By project: when its period began, and how many deliveries were given up since.
        self._counts: cachetools.LRUCache[str, tuple[float, int]] = cachetools.LRUCache(PROJECTS)

    def report(self, delivery: Delivery, attempts: int, why: str, reason: str = "") -> None:
        """Log that *delivery* was given up after *attempts* attempts; *why* is the last error."""
        if reason in EXPECTED:
            return
        now = self._monotonic()
        began, count = self._counts.get(delivery.project_id, (now, 0))
        omitted = 0
        if now - began >= SECONDS:
            omitted, began, count = max(0, count - LINES), now, 0
        self._counts[delivery.project_id] = (began, count + 1)
        if count >= LINES:
            return
        LOG.warning(
            "Delivery %s given up after %d attempt(s): alarm %s of project %s to %s: %s. "
            "Retry it with: eventalarm-delivery retry %s%s",
            delivery.delivery_id,
            attempts,
            delivery.alarm_id,
            delivery.project_id or "(none)",
            action.masked(delivery.action),
            why,
            delivery.delivery_id,
            f" ({omitted} more of this project were not logged)" if omitted else "",
            extra=fields(
                delivery_id=delivery.delivery_id, alarm_id=delivery.alarm_id, project_id=delivery.project_id
            ),
        )
