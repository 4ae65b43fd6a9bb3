"""What the disruptors of a cloud of its own share; each implements ``eventalarm.trial.plugins.Disruptor``."""

from __future__ import annotations

import abc
import random
import threading
from collections.abc import Callable, Sequence
from typing import ClassVar

from eventalarm.trial.own_cloud.stage import Stage, epoch
from eventalarm.trial.plugins import Effect

# Seconds between two looks at an awaited condition.
LOOK = 0.1
# Returns the stage, which is open by the time of a strike.
Opened = Callable[[], Stage]


class Disruption(abc.ABC):
    """One thing that is broken for some seconds, then works again.

    ``name`` is how the report calls it, ``target`` what it was made on, ``began`` when (epoch seconds), and
    ``held`` how much was affected; the last three are those of the latest strike.

    :param chance: chooses what the constructor of a subclass was not given.
    """

    about: ClassVar[str]
    effect: Effect = Effect()

    def __init__(self, opened: Opened, chance: random.Random, name: str = "") -> None:
        self._opened = opened
        self.chance = chance
        self.name = name
        self.target = ""
        self.began = 0.0
        self.held = 0
        self._is_broken = False

    @property
    def stage(self) -> Stage:
        """The stage on which it is made."""
        return self._opened()

    def lasts(self) -> float:
        """Return for how many seconds it is made unless a scenario says so."""
        return self.chance.uniform(*self.stage.outage)

    def plan(self) -> Sequence[str]:
        """Return what would be done, and its undo; touches nothing."""
        return (self.about,)

    def strike(self, seconds: float, over: threading.Event) -> None:
        """Break it, and return after *seconds*, or as soon as *over* is set."""
        self.held, self._is_broken, self.began = 0, True, epoch()
        self.damage()
        over.wait(seconds)

    def heal(self) -> float | None:
        """Undo :meth:`strike` and wait until it works again; harmless if there is nothing to undo.

        Return in how many seconds others had taken over, if that was measured.
        """
        if not self._is_broken:
            return None
        taken_over = self.repair()
        self._is_broken = False
        return taken_over

    @abc.abstractmethod
    def damage(self) -> None:
        """Break it."""

    @abc.abstractmethod
    def repair(self) -> float | None:
        """Make it work again; may be called again if it failed."""


Kind = Callable[[Opened, random.Random], Disruption]
