"""Disruptors of the long form: services that stay up but refuse, and clocks that jump."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator, Mapping
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import IsolationLevel

from eventalarm.database_url import with_driver
from eventalarm.exceptions import Retryable
from eventalarm.storage.tables import delivery
from eventalarm.trial.own_cloud.disruption import LOOK, Disruption, Kind, Opened
from eventalarm.trial.own_cloud.services.disks import MIB
from eventalarm.trial.own_cloud.services.faketime import set_clock
from eventalarm.trial.own_cloud.stage import Stage
from eventalarm.trial.plugins import Effect

HOUR: Final = 3600.0
NO_MEMORY, DEFAULT_MEMORY = "0.00001", "0.4"
# Bytes that are left: less than RabbitMQ's limit of 50 MB, and nothing that a database can use.
BROKER_LEFT, DATABASE_LEFT = 20 * MIB, 16 * 1024
RETURNS_WITHIN: Final = 20.0
# Each database's commands to accept no writes in new sessions, to accept them, and to end the sessions.
READ_ONLY: Final[Mapping[str, tuple[str, str]]] = {
    "mariadb": ("SET GLOBAL tx_read_only = 1", "SET GLOBAL tx_read_only = 0"),
    "postgresql": (
        "ALTER SYSTEM SET default_transaction_read_only = on",
        "ALTER SYSTEM SET default_transaction_read_only = off",
    ),
}
OTHERS: Final = (
    "SELECT id FROM information_schema.processlist WHERE id <> connection_id() AND db = DATABASE()"
)


class StarveBroker(Disruption):
    """Let RabbitMQ believe that its memory is used up: it accepts no message."""

    about = "let RabbitMQ believe that its memory is used up, then give it back"

    def __init__(self, opened: Opened, chance: random.Random, name: str = "") -> None:
        super().__init__(opened, chance, name or "broker memory alarm")

    def damage(self) -> None:
        """Lower its limit."""
        self.stage.ground.rabbitmq.ctl("set_vm_memory_high_watermark", NO_MEMORY)

    def repair(self) -> None:
        """Set the limit that it had."""
        self.stage.ground.rabbitmq.ctl("set_vm_memory_high_watermark", DEFAULT_MEMORY)


class FillBrokerDisk(Disruption):
    """Fill the disk under RabbitMQ up to its limit: it accepts no message."""

    about = "fill the disk under RabbitMQ, then empty it; needs a small disk"

    def __init__(self, opened: Opened, chance: random.Random, name: str = "") -> None:
        super().__init__(opened, chance, name or "broker disk full")

    def lasts(self) -> float:
        """Return more than ten seconds: RabbitMQ looks at its disk that often."""
        return 10.0 + super().lasts()

    def damage(self) -> None:
        """Fill it."""
        self.stage.ground.disks["broker"].fill(BROKER_LEFT)

    def repair(self) -> None:
        """Empty it."""
        self.stage.ground.disks["broker"].release()


class FillDatabaseDisk(Disruption):
    """Fill the disk under the database; start the database again if it does not survive that."""

    about = "fill the disk under the database, then empty it; needs a small disk"

    def __init__(self, opened: Opened, chance: random.Random, name: str = "") -> None:
        super().__init__(opened, chance, name or "database disk full")

    def damage(self) -> None:
        """Fill it."""
        self.stage.ground.disks["database"].fill(DATABASE_LEFT)

    def repair(self) -> None:
        """Empty it, and wait until the database accepts writes."""
        self.stage.ground.disks["database"].release()
        deadline = time.monotonic() + RETURNS_WITHIN
        while not _writes(self.stage):
            if time.monotonic() > deadline:
                self.stage.ground.database.running = False
                self.stage.ground.database.start()
            time.sleep(LOOK)


def _writes(stage: Stage) -> bool:
    with contextlib.suppress(Retryable):
        stage.withdraw("nobody's project")
        return True
    return False


class FreezeDatabase(Disruption):
    """Make the database read-only, as it is after a failover that is not finished."""

    about = "make the database read-only and end its sessions, then writable"

    def __init__(self, opened: Opened, chance: random.Random, name: str = "") -> None:
        super().__init__(opened, chance, name or "database read-only")

    def _set(self, place: int) -> None:
        kind = self.stage.ground.database.name
        with _session(self.stage, "AUTOCOMMIT") as connection:
            _set(connection, kind, READ_ONLY[kind][place])

    def damage(self) -> None:
        """Make it read-only."""
        self._set(0)

    def repair(self) -> None:
        """Make it writable."""
        self._set(1)


@contextlib.contextmanager
def _session(stage: Stage, isolation: IsolationLevel) -> Iterator[sa.Connection]:
    url = with_driver(stage.cloud.database_url)
    engine = sa.create_engine(url, isolation_level=isolation, poolclass=sa.pool.NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _set(connection: sa.Connection, kind: str, statement: str) -> None:
    connection.exec_driver_sql(statement)
    if kind == "postgresql":
        connection.exec_driver_sql("SELECT pg_reload_conf()")
        return
    # On MariaDB the setting holds for new sessions only.
    for number in connection.exec_driver_sql(OTHERS).scalars().all():
        with contextlib.suppress(sa.exc.DBAPIError):
            connection.exec_driver_sql(f"KILL {int(number)}")


class SetListenerClock(Disruption):
    """Set the clock of the host of one listener an hour ahead or behind, and right again."""

    about = "set the clock of a listener an hour ahead or behind, then right"
    effect = Effect(survivable=True)

    def __init__(self, opened: Opened, chance: random.Random, name: str = "") -> None:
        super().__init__(opened, chance, name or "listener clock")
        self.target = "listener 0"

    def damage(self) -> None:
        """Set it wrong."""
        set_clock(self.stage.clock, self.chance.choice((-HOUR, HOUR)))

    def repair(self) -> None:
        """Set it right."""
        set_clock(self.stage.clock, 0.0)


@contextlib.contextmanager
def snapshot(stage: Stage) -> Iterator[None]:
    """Hold a transaction that has read the outbox, and goes on seeing it as it was."""
    with _session(stage, "REPEATABLE READ") as connection:
        connection.execute(sa.select(sa.func.count()).select_from(delivery))
        yield


class HoldSnapshot(Disruption):
    """Hold a snapshot of the outbox, as a backup does: nothing that is deleted can be cleaned up."""

    about = "hold a transaction that has read the outbox, then end it"
    effect = Effect(survivable=True)

    def __init__(self, opened: Opened, chance: random.Random, name: str = "") -> None:
        super().__init__(opened, chance, name or "snapshot held")
        self._holding = contextlib.ExitStack()

    def damage(self) -> None:
        """Begin it."""
        self._holding.enter_context(snapshot(self.stage))

    def repair(self) -> None:
        """End it."""
        self._holding.close()


MORE: Final[Mapping[str, Kind]] = {
    "starve broker": StarveBroker,
    "fill broker disk": FillBrokerDisk,
    "fill database disk": FillDatabaseDisk,
    "make database read-only": FreezeDatabase,
    "set listener clock": SetListenerClock,
    "hold snapshot": HoldSnapshot,
}
NEED_DISKS: Final = ("fill broker disk", "fill database disk")


def possible(stage: Stage) -> dict[str, Kind]:
    """Return those that this stage can make: small disks need the right to mount."""
    return {name: kind for name, kind in MORE.items() if stage.ground.disks or name not in NEED_DISKS}
