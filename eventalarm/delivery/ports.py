"""What the delivery rooms ask of each other and of the rest, as Protocols."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from eventalarm.model import Delivery

# One destination takes so many times its limit from all projects together.
TOGETHER: Final = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Destination:
    """Who shares one fate: a project's deliveries to one destination wait for each other, never for others.

    ``limit`` is how many calls of one project may be under way to it at once, ``total`` how many of all
    projects; by default four times as many.
    """

    scheme: str
    host: str
    port: int
    limit: int
    total: int = 0

    def __post_init__(self) -> None:
        """Fill in the default."""
        if not self.total:
            object.__setattr__(self, "total", TOGETHER * self.limit)


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
