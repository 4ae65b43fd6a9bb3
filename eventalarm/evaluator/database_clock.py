"""The database's clock without a question for each look."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Protocol


class Source(Protocol):
    """Where the time is asked for."""

    def now(self) -> datetime.datetime:
        """Return the database's clock."""


class DatabaseClock:
    """The database's clock, asked now and then and carried on by our own monotonic one."""

    def __init__(self, source: Source, monotonic: Callable[[], float], ask_every: float) -> None:
        self._source = source
        self._monotonic = monotonic
        self._ask_every = ask_every
        self._asked: tuple[datetime.datetime, float] | None = None

    def now(self) -> datetime.datetime:
        """Return the present; never ahead of the database's clock by more than its drift."""
        before = self._monotonic()
        if self._asked is None or before - self._asked[1] >= self._ask_every:
            self._asked = (self._source.now(), self._monotonic())
        moment, at = self._asked
        return moment + datetime.timedelta(seconds=max(0.0, before - at))
