"""The disruptors of a cloud of its own, and which of them a run makes.

Each breaks one thing and makes it work again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from eventalarm.trial.own_cloud.consumers import MODES, OK, TLS
from eventalarm.trial.own_cloud.disruption import Disruption, Kind, Opened
from eventalarm.trial.own_cloud.listener_disruptors import KillListener, KillListenerAtOnce, StopListener
from eventalarm.trial.own_cloud.proxy import BACK, BOTH, THERE
from eventalarm.trial.own_cloud.stage import MOODY, SECURE
from eventalarm.trial.plugins import Effect

CONSUMER: Final = "consumer: "


class KillBroker(Disruption):
    """SIGKILL RabbitMQ and start it again after a while."""

    about = "SIGKILL RabbitMQ; start it again on its data"

    def __init__(self, opened: Opened, chance: random.Random, name: str = "") -> None:
        super().__init__(opened, chance, name or "kill RabbitMQ")

    def damage(self) -> None:
        """Kill it."""
        self.stage.ground.rabbitmq.kill()

    def repair(self) -> None:
        """Start it again."""
        self.stage.ground.rabbitmq.start()


class KillDatabase(Disruption):
    """SIGKILL the database and start it again after a while."""

    about = "SIGKILL the database; start it again on its data"

    def damage(self) -> None:
        """Kill it."""
        self.name = self.name or f"kill {self.stage.ground.database.name}"
        self.stage.ground.database.kill()

    def repair(self) -> None:
        """Start it again."""
        self.stage.ground.database.start()


class CutLink(Disruption):
    """Cut the connections of one listener half-open, or one way only, then reset them.

    :param kind: ``broker`` or ``database``, to which they lead.
    :param number: the listener, or None for any.
    :param way: one of ``BOTH``, ``THERE`` and ``BACK``, or nothing for any.
    """

    about = "let the connections of a listener silently carry nothing, then reset them"

    def __init__(
        self,
        opened: Opened,
        chance: random.Random,
        name: str = "",
        *,
        kind: str,
        number: int | None = None,
        way: str = "",
    ) -> None:
        super().__init__(opened, chance, name or f"cut {kind} link")
        # Without its database a process cannot record the answer to a POST.
        self.effect = Effect(ends_process=kind == "database", survivable=True)
        self._kind = kind
        self._number = number
        self._way = way
        self._link = ""

    def lasts(self) -> float:
        """Return a time that is never too short to be noticed."""
        return self.chance.uniform(1.0, 1.0 + self.stage.outage[1] / 2)

    def damage(self) -> None:
        """Cut them."""
        stage = self.stage
        number = self.chance.randrange(len(stage.listeners)) if self._number is None else self._number
        self._link, self.target = f"{self._kind} {number}", f"listener {number}"
        self.held = stage.links.hold(self._link, self._way or self.chance.choice((BOTH, THERE, BACK)))

    def repair(self) -> None:
        """Reset them; new ones work."""
        self.stage.links.reset(self._link)


class Misbehave(Disruption):
    """Let a consumer misbehave in one way, any if *mode* is empty; ``steady`` never misbehaves."""

    about = "let a webhook consumer misbehave, then work again"

    def __init__(self, opened: Opened, chance: random.Random, name: str = "", *, mode: str = "") -> None:
        self._mode = mode or chance.choice(MODES)
        super().__init__(opened, chance, name or CONSUMER + self._mode)
        self.target = SECURE if self._mode == TLS else chance.choice(MOODY)
        self.effect = Effect(target=self.target)

    def damage(self) -> None:
        """Let it misbehave."""
        self.stage.consumers.mode(self.target, self._mode)

    def repair(self) -> None:
        """Let it answer normally."""
        self.stage.consumers.mode(self.target, OK)


def cut_database(opened: Opened, chance: random.Random) -> CutLink:
    """Return the disruptor of the links to the database."""
    return CutLink(opened, chance, kind="database")


def cut_broker(opened: Opened, chance: random.Random) -> CutLink:
    """Return the disruptor of the links to the broker."""
    return CutLink(opened, chance, kind="broker")


STRIKES: Final[dict[str, Kind]] = {
    "kill listener": KillListener,
    "stop listener": StopListener,
    "kill broker": KillBroker,
    "kill database": KillDatabase,
    "cut database": cut_database,
    "cut broker": cut_broker,
}
# What may be broken at the same time: a process, and what it depends on.
PAIRS: Final[Sequence[tuple[Kind, Kind]]] = (
    (KillListenerAtOnce, KillDatabase),
    (KillListenerAtOnce, KillBroker),
    (StopListener, KillDatabase),
    (StopListener, KillBroker),
    (KillBroker, KillDatabase),
    (KillListenerAtOnce, cut_database),
)
