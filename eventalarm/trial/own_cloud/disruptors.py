"""The disruptors: each strikes once, waits until everything works again, and reports what it did.

They sleep for as long as what they struck stays away, and between two looks at what they wait for.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from eventalarm.exceptions import Retryable
from eventalarm.trial.own_cloud.consumers import MODES, OK, TLS
from eventalarm.trial.own_cloud.programs.listeners import Listener
from eventalarm.trial.own_cloud.proxy import BACK, BOTH, THERE
from eventalarm.trial.own_cloud.stage import MOODY, SECURE, Stage, epoch

# Seconds until a supervisor restarts what died, and between two looks at an awaited condition.
SUPERVISOR_PAUSE = 1.0
LOOK = 0.1
# Seconds that the next strike waits at most for a webhook of an event that came after the one before.
WEBHOOK_WITHIN = 10.0
CONSUMER: Final = "consumer: "


@dataclass(frozen=True)
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


Strike = Callable[[Stage, random.Random], Used]


def kill_listener(stage: Stage, chance: random.Random) -> Used:
    """SIGKILL one of the listeners; its supervisor restarts it once the others have taken over."""
    listener, name = _one_of(stage.listeners, chance)
    known = stage.workers()
    listener.kill()
    began = epoch()
    held = stage.leased()
    try:
        dead = _dead_worker(stage, set(known))
        waiting = held.get(dead, set())
        while waiting & stage.leased().get(dead, set()):
            time.sleep(LOOK)
        taken_over = epoch() - began
    finally:
        time.sleep(max(0.0, began + SUPERVISOR_PAUSE - epoch()))
        listener.start(wait=True)
    return Used("kill listener", name, began, epoch(), True, len(waiting), taken_over if waiting else None)


def _dead_worker(stage: Stage, known: set[str]) -> str:
    """Return which of the *known* workers no longer renews its lease."""
    before = {name: until for name, until in stage.workers().items() if name in known}
    while True:
        time.sleep(LOOK)
        now = stage.workers()
        # A lease that was not renewed since the first look, while all others were.
        quiet = [name for name, until in before.items() if now.get(name, until) == until]
        if len(quiet) <= 1 or any(name not in now for name in quiet):
            return next((name for name in quiet if name not in now), quiet[0] if quiet else "")


def kill_listener_at_once(stage: Stage, chance: random.Random) -> Used:
    """SIGKILL one of the listeners and restart it as a supervisor does, whatever else is broken."""
    listener, name = _one_of(stage.listeners, chance)
    listener.kill()
    began = epoch()
    time.sleep(SUPERVISOR_PAUSE)
    listener.start()
    return Used("kill listener", name, began, epoch())


def stop_listener(stage: Stage, chance: random.Random) -> Used:
    """SIGSTOP one of the listeners, sometimes for longer than its lease, then SIGCONT."""
    listener, name = _one_of(stage.listeners, chance)
    lease = stage.cloud.conf.eventalarm_delivery.lease
    began = epoch()
    listener.signal(signal.SIGSTOP)
    try:
        time.sleep(chance.choice((0.3, 0.7, 1.4)) * lease)
    finally:
        listener.signal(signal.SIGCONT)
    return Used("stop listener", name, began, epoch())


def kill_broker(stage: Stage, chance: random.Random) -> Used:
    """SIGKILL RabbitMQ and start it again after a while."""
    began = epoch()
    stage.ground.rabbitmq.kill()
    time.sleep(chance.uniform(*stage.outage))
    stage.ground.rabbitmq.start()
    return Used("kill RabbitMQ", "", began, epoch())


def kill_database(stage: Stage, chance: random.Random) -> Used:
    """SIGKILL the database and start it again after a while."""
    began = epoch()
    stage.ground.database.kill()
    time.sleep(chance.uniform(*stage.outage))
    stage.ground.database.start()
    return Used(f"kill {stage.ground.database.name}", "", began, epoch())


def _cut(kind: str) -> Strike:
    def cut(stage: Stage, chance: random.Random) -> Used:
        """Cut the connections of one listener half-open, or one way only, then reset them."""
        number = chance.randrange(len(stage.listeners))
        began = epoch()
        cut_off = stage.links.hold(f"{kind} {number}", chance.choice((BOTH, THERE, BACK)))
        time.sleep(chance.uniform(1.0, 1.0 + stage.outage[1] / 2))
        stage.links.reset(f"{kind} {number}")
        return Used(f"cut {kind} link", f"listener {number}", began, epoch(), held=cut_off)

    return cut


STRIKES: Final[dict[str, Strike]] = {
    "kill listener": kill_listener,
    "stop listener": stop_listener,
    "kill broker": kill_broker,
    "kill database": kill_database,
    "cut database": _cut("database"),
    "cut broker": _cut("broker"),
}
# What may be broken at the same time: a process, and what it depends on.
PAIRS: Final[Sequence[tuple[Strike, Strike]]] = (
    (kill_listener_at_once, kill_database),
    (kill_listener_at_once, kill_broker),
    (stop_listener, kill_database),
    (stop_listener, kill_broker),
    (kill_broker, kill_database),
    (kill_listener_at_once, _cut("database")),
)


def _one_of(listeners: Sequence[Listener], chance: random.Random) -> tuple[Listener, str]:
    number = chance.randrange(len(listeners))
    return listeners[number], f"listener {number}"


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
        strikes: Mapping[str, Strike] = STRIKES,
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

    def _cards(self) -> Iterator[tuple[Strike, ...]]:
        for _ in range(self._rounds) if self._rounds is not None else itertools.count():
            deck: list[tuple[Strike, ...]] = [(strike,) for strike in self._strikes.values()]
            if self._chance.random() < self._together:
                deck.append(self._chance.choice(PAIRS))
            self._chance.shuffle(deck)
            yield from deck

    def _strike(self, strikes: Sequence[Strike]) -> None:
        seeds = [random.Random(self._chance.random()) for _ in strikes]
        names = {strike: name for name, strike in self._strikes.items()}
        self.now = " + ".join(names.get(strike, strike.__name__) for strike in strikes)
        done: list[Used] = []

        def work(strike: Strike, chance: random.Random) -> None:
            try:
                done.append(_persistently(strike, self._stage, chance))
            except BaseException as exc:  # noqa: BLE001 - as above
                self.failures.append(exc)

        threads = [threading.Thread(target=work, args=pair) for pair in zip(strikes, seeds, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        alone = len(strikes) == 1
        self.used += [Used(**{**vars(one), "alone": alone}) for one in done]
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


def _persistently(strike: Strike, stage: Stage, chance: random.Random) -> Used:
    with contextlib.suppress(Retryable):
        return strike(stage, chance)
    return strike(stage, chance)


class Moods(threading.Thread):
    """Makes the consumers misbehave in every way, in turn; ``steady`` never misbehaves."""

    def __init__(
        self, stage: Stage, *, seed: int, lasts: tuple[float, float], pause: tuple[float, float]
    ) -> None:
        super().__init__(name="moods", daemon=True)
        self._consumers = stage.consumers
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
            mode = deck.pop()
            name = SECURE if mode == TLS else self._chance.choice(MOODY)
            began = epoch()
            self._consumers.mode(name, mode)
            self._over.wait(self._chance.uniform(*self._lasts))
            self._consumers.mode(name, OK)
            self.used.append(Used(CONSUMER + mode, name, began, epoch()))
