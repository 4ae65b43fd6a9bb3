"""Disruptors of the listeners: killed, restarted at once, or suspended."""

from __future__ import annotations

import random
import signal
import threading

from eventalarm.trial.own_cloud.disruption import LOOK, Disruption, Opened
from eventalarm.trial.own_cloud.programs.listeners import Listener
from eventalarm.trial.own_cloud.stage import Stage, epoch
from eventalarm.trial.plugins import Effect

# Seconds until a supervisor restarts what died.
SUPERVISOR_PAUSE = 1.0


class OnListener(Disruption):
    """What is done to one of the listeners, *number* or any."""

    effect = Effect(ends_process=True, survivable=True)

    def __init__(
        self, opened: Opened, chance: random.Random, name: str = "", number: int | None = None
    ) -> None:
        super().__init__(opened, chance, name)
        self._number = number
        self._aimed = number or 0

    def aim(self) -> Listener:
        """Choose the listener of this strike."""
        listeners = self.stage.listeners
        self._aimed = self.chance.randrange(len(listeners)) if self._number is None else self._number
        self.target = f"listener {self._aimed}"
        return self.listener

    @property
    def listener(self) -> Listener:
        """The listener of this strike."""
        return self.stage.listeners[self._aimed]


class KillListener(OnListener):
    """SIGKILL one of the listeners; its supervisor restarts it once the others have taken over."""

    about = "SIGKILL a listener; start it again once the others have taken over"

    def __init__(
        self, opened: Opened, chance: random.Random, name: str = "", number: int | None = None
    ) -> None:
        super().__init__(opened, chance, name or "kill listener", number)
        self._taken_over: float | None = None

    def lasts(self) -> float:
        """Return after how many seconds a supervisor restarts it."""
        return SUPERVISOR_PAUSE

    def strike(self, seconds: float, over: threading.Event) -> None:
        """Kill it, and wait until what it held was taken over."""
        self.aim()
        known = self.stage.workers()
        self._taken_over, self._is_broken = None, True
        self.damage()
        held = self.stage.leased()
        dead = _dead_worker(self.stage, set(known), over)
        waiting = held.get(dead, set())
        self.held = len(waiting)
        while waiting & self.stage.leased().get(dead, set()) and not over.wait(LOOK):
            pass
        if waiting and not over.is_set():
            self._taken_over = epoch() - self.began
        over.wait(max(0.0, self.began + seconds - epoch()))

    def damage(self) -> None:
        """Kill it."""
        self.listener.kill()
        self.began = epoch()

    def repair(self) -> float | None:
        """Start it again."""
        self.listener.start(wait=True)
        return self._taken_over


def _dead_worker(stage: Stage, known: set[str], over: threading.Event) -> str:
    """Return which of the *known* workers no longer renews its lease; nothing once *over* is set."""
    before = {name: until for name, until in stage.workers().items() if name in known}
    while not over.wait(LOOK):
        now = stage.workers()
        # A lease that was not renewed since the first look, while all others were.
        quiet = [name for name, until in before.items() if now.get(name, until) == until]
        if len(quiet) <= 1 or any(name not in now for name in quiet):
            return next((name for name in quiet if name not in now), quiet[0] if quiet else "")
    return ""


class KillListenerAtOnce(OnListener):
    """SIGKILL one of the listeners and restart it as a supervisor does, whatever else is broken."""

    about = "SIGKILL a listener; start it again as a supervisor does"

    def __init__(
        self, opened: Opened, chance: random.Random, name: str = "", number: int | None = None
    ) -> None:
        super().__init__(opened, chance, name or "kill listener", number)

    def lasts(self) -> float:
        """Return after how many seconds a supervisor restarts it."""
        return SUPERVISOR_PAUSE

    def damage(self) -> None:
        """Kill it."""
        self.aim().kill()
        self.began = epoch()

    def repair(self) -> None:
        """Start it again, without waiting for the services that it needs."""
        self.listener.start()


class StopListener(OnListener):
    """SIGSTOP one of the listeners, sometimes for longer than its lease, then SIGCONT."""

    about = "SIGSTOP a listener, then SIGCONT"

    def __init__(
        self, opened: Opened, chance: random.Random, name: str = "", number: int | None = None
    ) -> None:
        super().__init__(opened, chance, name or "stop listener", number)

    def lasts(self) -> float:
        """Return a part of the lease, or more than the lease."""
        lease: float = self.stage.cloud.conf.eventalarm_delivery.lease
        return self.chance.choice((0.3, 0.7, 1.4)) * lease

    def damage(self) -> None:
        """Suspend it."""
        self.aim().signal(signal.SIGSTOP)

    def repair(self) -> None:
        """Resume it."""
        self.listener.signal(signal.SIGCONT)
