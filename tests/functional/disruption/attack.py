"""The attack of a hostile tenant: its events, published in a thread beside the load of another tenant."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence

from eventalarm.trial.own_cloud.play import Play
from tests.functional.disruption import hostile

# Events per second of a hostile tenant, and the number of events between two large ones.
ATTACK_RATE, BETWEEN_BIG = 8.0, 64
# A new attack begins with this many events at a higher rate, to take effect.
HOLD, HOLD_RATE = 60, 30.0


class Attack:
    """Publishes events about *instances* of a hostile tenant in a thread, until it is stopped."""

    def __init__(self, play: Play, instances: Sequence[str], seed: int) -> None:
        self._publisher = play.publisher
        self._chance = random.Random(f"{seed} attack")
        self._events = hostile.events(instances, self._chance)
        self._stopping = threading.Event()
        self._held = threading.Event()
        self._thread: threading.Thread | None = None
        self.sent = 0

    def start(self) -> None:
        """Start (again); return once the attack has taken effect."""
        self._stopping.clear()
        self._held.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._held.wait()

    def stop(self) -> None:
        """Stop; safe to call twice."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        began = self.sent
        while not self._stopping.wait(1 / (ATTACK_RATE if self._held.is_set() else HOLD_RATE)):
            large = self.sent % BETWEEN_BIG == BETWEEN_BIG - 1
            event = hostile.big(self._chance) if large else next(self._events)
            self._publisher.put([event])
            self.sent += 1
            if self.sent - began >= HOLD:
                self._held.set()
