"""Decides which events are profiled: some at random, one in each interval, and all that ask for it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable

from eventalarm.model import Event, Stage, begin_profile, is_forced


class Sampler:
    """Begins the profiles of events that were matched.

    Only events that concern an alarm come here: they cost a transaction, beside which a profile is nothing.

    :param share: the share that is profiled, 0 to 1.
    :param interval: seconds after which the next event is profiled in any case; 0: none is.
    :param uniform: returns a random number from 0 to 1.
    """

    def __init__(
        self,
        share: float,
        interval: float,
        *,
        uniform: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._share = share
        self._interval = interval
        self._uniform = uniform
        self._monotonic = monotonic
        self._now = now
        self._next = monotonic()

    def matched(self, events: Iterable[Event]) -> None:
        """Record that *events* have just been matched, and choose those that are profiled."""
        at = self._now()
        for event in dict.fromkeys(events):
            if event.profile is not None:
                event.profile.mark(Stage.MATCHED, at)
            elif is_forced(event) or self._is_chosen():
                event.profile = begin_profile(event, at)

    def _is_chosen(self) -> bool:
        if self._share and self._uniform() < self._share:
            return True
        if not self._interval or self._monotonic() < self._next:
            return False
        self._next = self._monotonic() + self._interval
        return True
