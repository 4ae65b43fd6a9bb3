"""Strikers: they make disruptions at random, one after the other or two at once, until they are stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from eventalarm.exceptions import Retryable
from eventalarm.trial.own_cloud.consumers import MODES
from eventalarm.trial.own_cloud.disruption import LOOK, Disruption, Kind
from eventalarm.trial.own_cloud.disruptors import PAIRS, STRIKES, Misbehave
from eventalarm.trial.own_cloud.stage import Stage, epoch
from eventalarm.trial.plugins import Effect

# Seconds that the next strike waits at most for a webhook of an event that came after the one before.
WEBHOOK_WITHIN = 10.0


@dataclasses.dataclass(frozen=True)
class Used:
    """One strike: *began* and *back* in epoch seconds; *back* is when the struck part worked again.

    ``taken_over`` is the number of seconds from a kill until the last delivery of the dead process was taken
    over; ``held`` is how many it held. ``alone`` means that nothing else was broken meanwhile.
    """

    name: str
    target: str
    began: float
    back: float
    alone: bool = True
    held: int = 0
    taken_over: float | None = None
    effect: Effect = dataclasses.field(default_factory=Effect)


class Striker(threading.Thread):
    """Goes through all strikes in random order, repeatedly, with pauses; now and then two at once.

    *on_error* receives what a strike could not do; the run is then invalid.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        seed: int,
        pause: tuple[float, float],
        together: float,
        rounds: int | None = None,
        strikes: Mapping[str, Kind] = STRIKES,
    ) -> None:
        super().__init__(name="striker", daemon=True)
        self._stage = stage
        self._strikes = strikes
        self._chance = random.Random(f"{seed} strikes")
        self._pause = pause
        self._together = together
        self._rounds = rounds
        self._over = threading.Event()
        self.used: list[Used] = []
        self.failures: list[BaseException] = []
        self.now = ""

    def finish(self) -> None:
        """Let the current strike end and make no further ones."""
        self._over.set()
        self.join(180)

    def run(self) -> None:
        """Strike until stopped; called by ``start``."""
        try:
            for strikes in self._cards():
                if self._over.wait(self._chance.uniform(*self._pause)):
                    return
                self._strike(strikes)
        except BaseException as exc:  # noqa: BLE001 - the main thread must learn of it
            self.failures.append(exc)

    def _cards(self) -> Iterator[tuple[Kind, ...]]:
        for _ in range(self._rounds) if self._rounds is not None else itertools.count():
            deck: list[tuple[Kind, ...]] = [(strike,) for strike in self._strikes.values()]
            if self._chance.random() < self._together:
                deck.append(self._chance.choice(PAIRS))
            self._chance.shuffle(deck)
            yield from deck

    def _strike(self, strikes: Sequence[Kind]) -> None:
        made = [kind(lambda: self._stage, random.Random(self._chance.random())) for kind in strikes]
        names = {strike: name for name, strike in self._strikes.items()}
        self.now = " + ".join(
            names.get(kind, type(one).__name__) for kind, one in zip(strikes, made, strict=True)
        )
        done: list[Used] = []

        def work(disruption: Disruption) -> None:
            try:
                done.append(_persistently(disruption))
            except BaseException as exc:  # noqa: BLE001 - as above
                self.failures.append(exc)

        threads = [threading.Thread(target=work, args=(one,)) for one in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        alone = len(strikes) == 1
        self.used += [dataclasses.replace(one, alone=alone) for one in done]
        self.now = ""
        if alone and done:
            self._await_webhook(done[0].back)

    def _await_webhook(self, since: float) -> None:
        """Wait until firing resumed, so that the next strike does not count as a part of this recovery."""
        deadline = time.monotonic() + WEBHOOK_WITHIN
        while time.monotonic() < deadline and not self._over.is_set():
            with contextlib.suppress(Retryable):
                if self._stage.delivered_since(since):
                    return
            time.sleep(LOOK)


def _persistently(disruption: Disruption) -> Used:
    with contextlib.suppress(Retryable):
        return _make(disruption, disruption.lasts())
    return _make(disruption, disruption.lasts())


def _make(disruption: Disruption, seconds: float, over: threading.Event | None = None) -> Used:
    """Make a disruption and undo it; *over* ends it early."""
    try:
        disruption.strike(seconds, over or threading.Event())
    finally:
        taken_over = disruption.heal()
    return Used(
        disruption.name,
        disruption.target,
        disruption.began,
        epoch(),
        held=disruption.held,
        taken_over=taken_over,
        effect=disruption.effect,
    )


class Moods(threading.Thread):
    """Makes the consumers misbehave in every way, in turn; ``steady`` never misbehaves."""

    def __init__(
        self, stage: Stage, *, seed: int, lasts: tuple[float, float], pause: tuple[float, float]
    ) -> None:
        super().__init__(name="moods", daemon=True)
        self._stage = stage
        self._chance = random.Random(f"{seed} moods")
        self._lasts = lasts
        self._pause = pause
        self._over = threading.Event()
        self.used: list[Used] = []

    def finish(self) -> None:
        """End the current misbehaviour and begin no further one."""
        self._over.set()
        self.join(60)

    def run(self) -> None:
        """Change the behaviour until stopped; called by ``start``."""
        deck: list[str] = []
        while not self._over.wait(self._chance.uniform(*self._pause)):
            deck = deck or self._chance.sample(MODES, len(MODES))
            disruption = Misbehave(lambda: self._stage, self._chance, mode=deck.pop())
            self.used.append(_make(disruption, self._chance.uniform(*self._lasts), self._over))
