"""A stand-in for the batch handler, for tests of the server that feeds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


class FakeHandler:
    """Has the methods of ``BatchHandler`` that a ``BatchServer`` calls; subclasses define ``handle``."""

    def prepare(self) -> None:
        """Do nothing."""

    def handle(self, messages: Sequence[dict[str, Any]]) -> Mapping[int, str] | None:
        """Process the message bodies of one batch."""
        raise NotImplementedError

    def resumed(self, what: str) -> None:
        """Do nothing."""

    def dropped(self) -> None:
        """Do nothing."""

    def ready(self, interrupted: Callable[[], bool], away: Callable[[], None]) -> bool:
        """Return True: batches can always be handled."""
        return True
