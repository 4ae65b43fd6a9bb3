"""What the delivery rooms ask of each other and of the rest, as Protocols."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from eventalarm.model import Delivery


@dataclasses.dataclass(frozen=True, slots=True)
class Destination:
    """Who shares one fate: deliveries to one destination wait for each other, never for other ones.

    ``limit`` is how many calls may be under way to it at once.
    """

    scheme: str
    host: str
    port: int
    limit: int


class Sender(Protocol):
    """A way to carry out actions."""

    def destination(self, delivery: Delivery) -> Destination:
        """Tell where *delivery* goes; never fails, an unreadable action has a destination of its own."""

    async def send(self, delivery: Delivery) -> int | None:
        """Make one attempt; return the HTTP status if there is one.

        :raises eventalarm.exceptions.DeliveryError: when it failed.
        """

    async def close(self) -> None:
        """Let go of connections and threads."""


class Metrics(Protocol):
    """Counters and durations, as :class:`eventalarm.metrics.Metrics` has them."""

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        """Add *value*."""

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Record a duration."""


class NoMetrics:
    """Metrics for nobody."""

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        """Count nothing."""

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Record nothing."""


# Runs a blocking call in a thread and returns what it returned: ``await run(function, *arguments)``.
Run = Callable[..., Awaitable[Any]]
