"""Disruptors of the long form: services that stay up but refuse, and clocks that jump.

They sleep for as long as the disruption lasts.
"""

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
from eventalarm.trial.own_cloud.disruptors import LOOK, Strike, Used
from eventalarm.trial.own_cloud.services.disks import MIB
from eventalarm.trial.own_cloud.services.faketime import set_clock
from eventalarm.trial.own_cloud.stage import Stage, epoch

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


def starve_broker(stage: Stage, chance: random.Random) -> Used:
    """Let RabbitMQ believe that its memory is used up: it accepts no message."""
    began = epoch()
    stage.ground.rabbitmq.ctl("set_vm_memory_high_watermark", NO_MEMORY)
    try:
        time.sleep(chance.uniform(*stage.outage))
    finally:
        stage.ground.rabbitmq.ctl("set_vm_memory_high_watermark", DEFAULT_MEMORY)
    return Used("broker memory alarm", "", began, epoch())


def fill_broker_disk(stage: Stage, chance: random.Random) -> Used:
    """Fill the disk under RabbitMQ up to its limit: it accepts no message."""
    disk = stage.ground.disks["broker"]
    began = epoch()
    disk.fill(BROKER_LEFT)
    try:
        # RabbitMQ looks at its disk every ten seconds, so that a shorter disruption is none.
        time.sleep(10.0 + chance.uniform(*stage.outage))
    finally:
        disk.release()
    return Used("broker disk full", "", began, epoch())


def fill_database_disk(stage: Stage, chance: random.Random) -> Used:
    """Fill the disk under the database; start the database again if it does not survive that."""
    disk = stage.ground.disks["database"]
    began = epoch()
    disk.fill(DATABASE_LEFT)
    try:
        time.sleep(chance.uniform(*stage.outage))
    finally:
        disk.release()
    deadline = time.monotonic() + RETURNS_WITHIN
    while not _writes(stage):
        if time.monotonic() > deadline:
            stage.ground.database.running = False
            stage.ground.database.start()
        time.sleep(LOOK)
    return Used("database disk full", "", began, epoch())


def _writes(stage: Stage) -> bool:
    with contextlib.suppress(Retryable):
        stage.withdraw("nobody's project")
        return True
    return False


def freeze_database(stage: Stage, chance: random.Random) -> Used:
    """Make the database read-only, as it is after a failover that is not finished."""
    kind = stage.ground.database.name
    off, on = READ_ONLY[kind]
    began = epoch()
    with _session(stage, "AUTOCOMMIT") as connection:
        _set(connection, kind, off)
        try:
            time.sleep(chance.uniform(*stage.outage))
        finally:
            _set(connection, kind, on)
    return Used("database read-only", "", began, epoch())


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


def set_listener_clock(stage: Stage, chance: random.Random) -> Used:
    """Set the clock of the host of one listener an hour ahead or behind, and right again."""
    began = epoch()
    set_clock(stage.clock, chance.choice((-HOUR, HOUR)))
    try:
        time.sleep(chance.uniform(*stage.outage))
    finally:
        set_clock(stage.clock, 0.0)
    return Used("listener clock", "listener 0", began, epoch())


@contextlib.contextmanager
def snapshot(stage: Stage) -> Iterator[None]:
    """Hold a transaction that has read the outbox, and goes on seeing it as it was."""
    with _session(stage, "REPEATABLE READ") as connection:
        connection.execute(sa.select(sa.func.count()).select_from(delivery))
        yield


def hold_snapshot(stage: Stage, chance: random.Random) -> Used:
    """Hold a snapshot of the outbox, as a backup does: nothing that is deleted can be cleaned up."""
    began = epoch()
    with snapshot(stage):
        time.sleep(chance.uniform(*stage.outage))
    return Used("snapshot held", "", began, epoch())


MORE: Final[Mapping[str, Strike]] = {
    "starve broker": starve_broker,
    "fill broker disk": fill_broker_disk,
    "fill database disk": fill_database_disk,
    "make database read-only": freeze_database,
    "set listener clock": set_listener_clock,
    "hold snapshot": hold_snapshot,
}
NEED_DISKS: Final = ("fill broker disk", "fill database disk")


def possible(stage: Stage) -> dict[str, Strike]:
    """Return those strikes that this stage can make: small disks need the right to mount."""
    return {name: strike for name, strike in MORE.items() if stage.ground.disks or name not in NEED_DISKS}
