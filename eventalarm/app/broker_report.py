"""Logs why the broker refuses a consumer, and when it accepts it again."""

from __future__ import annotations

import logging

from eventalarm import broker

LOG = logging.getLogger(__name__)


class BrokerReport:
    """Logs each reason of a refusal once, and once that messages are consumed again."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._reported = ""

    def __call__(self, error: Exception | None) -> None:
        """Take an error of the consumer, or None when it consumes again."""
        if error is None:
            if self._reported:
                LOG.warning("Consuming messages from the broker %s again", self._where)
            self._reported = ""
            return
        text = str(broker.unusable(error))
        if text != self._reported:
            LOG.error("Cannot consume messages from the broker %s: %s", self._where, text)
        self._reported = text
