"""The stage ``own-cloud``: RabbitMQ, a database, the Aodh API and listeners of this machine."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from eventalarm.exceptions import EventAlarmError
from eventalarm.trial.fields import Fields, InvalidScenario
from eventalarm.trial.history.records import History, Strike
from eventalarm.trial.own_cloud.collect import collect
from eventalarm.trial.own_cloud.load.runners import Publisher
from eventalarm.trial.own_cloud.monitors import depth
from eventalarm.trial.own_cloud.rig import Setup
from eventalarm.trial.own_cloud.services.databases import (
    Databases,
    MariadbDatabases,
    PostgresqlDatabases,
)
from eventalarm.trial.own_cloud.services.disks import Disk
from eventalarm.trial.own_cloud.services.restartable import MariaDB, PostgreSQL, RabbitMQ
from eventalarm.trial.own_cloud.settling import missing, settle
from eventalarm.trial.own_cloud.stage import Ground, Stage
from eventalarm.trial.plugins import Context, Options

DATABASES: Final = ("mariadb", "postgresql")
# The folder of the logs, and what the trial itself meets while everything is broken.
LOGS: Final = "logs"
OWN_LOG: Final = "trial.log"


class CannotStart(EventAlarmError):
    """A program of the own cloud is not installed or did not start; the message has its output."""


class OwnCloud:
    """A small cloud that the trial starts, disrupts and ends; nothing else on the machine is touched.

    Other plugins use it by :attr:`stage` and :attr:`publisher`, which exist once it is open.
    """

    def __init__(self, context: Context, options: Options) -> None:
        fields = Fields(options, "stage")
        self.database = fields.text("database", DATABASES[0], DATABASES)
        self.listeners = fields.whole("listeners", 2, 1, 8)
        self._lease = fields.number("lease", 3.0, 1.0, 60.0) or 0.0
        self.has_clock = fields.flag("clock")
        fields.done()
        assert isinstance(context.history, History)
        self.history = context.history
        self._directory = context.directory
        self._say = context.say
        self._preparations: list[Callable[[Stage], None]] = []
        self._stack = contextlib.ExitStack()
        self._opened: tuple[Stage, Publisher] | None = None

    @property
    def stage(self) -> Stage:
        """What runs.

        :raises RuntimeError: before :meth:`open`.
        """
        return self._running()[0]

    @property
    def publisher(self) -> Publisher:
        """Puts events on the topic of the listeners.

        :raises RuntimeError: before :meth:`open`.
        """
        return self._running()[1]

    def _running(self) -> tuple[Stage, Publisher]:
        if self._opened is None:
            raise RuntimeError("the own cloud is not open")
        return self._opened

    def prepare(self, preparation: Callable[[Stage], None]) -> None:
        """Call *preparation* when the database is there and before listeners start, to insert alarms."""
        self._preparations.append(preparation)

    def plan(self) -> Sequence[str]:
        """Return what is started."""
        return (
            f"start RabbitMQ and {self.database}, on free ports, with their data in temporary folders",
            f"start the Aodh API and {self.listeners} listeners, with a lease of {self._lease:g} s",
        )

    def open(self) -> None:
        """Start everything, the listeners last.

        :raises CannotStart: if a program is not installed, or does not start.
        """
        logs = self._directory / LOGS
        logs.mkdir(parents=True, exist_ok=True)
        log_to_file = self._stack.enter_context(_logging_to(logs / OWN_LOG))
        try:
            ground = self._stack.enter_context(services(logs, self.database, self._say))
            options = Setup(lease=self._lease).delivery_options()
            stage = Stage(
                ground,
                logs,
                options,
                listeners=self.listeners,
                clock=self.has_clock,
                history=self.history,
            )
            self._stack.callback(stage.close)
            # The configuration of the cloud has set up logging again.
            log_to_file()
            self._opened = stage, Publisher(stage.cloud.conf, self.history)
            for prepare in self._preparations:
                prepare(stage)
            self._say("starting the Aodh API and the listeners")
            stage.start()
        except (RuntimeError, AssertionError, OSError) as exc:
            raise CannotStart(f"the own cloud cannot start: {exc}") from exc

    def receive(self) -> None:
        """Add what consumers received to the history."""
        self.history.add(*self.stage.consumers.results())

    def settle(self, seconds: float) -> Sequence[str]:
        """Wait until everything is evaluated and delivered; return what is not."""
        stage, publisher = self._running()
        settle(stage, publisher, time.monotonic() + seconds)
        left = {
            "messages that are not published": publisher.waiting,
            "messages in the queue": depth(stage),
            "deliveries in the outbox": stage.unfinished(),
            "events without their transition": len(missing(stage)),
        }
        return [f"{number:,} {what}" for what, number in left.items() if number]

    def collect(self) -> None:
        """Add what was received, what is in the database, and when processes lost their lease."""
        self.publisher.close()
        self.receive()
        lost = self.stage.lost_leases()
        self.history.add(*(Strike(one - self._lease, one, "lost lease") for one in lost))
        collect(self.stage)

    def close(self) -> None:
        """End everything that was started."""
        self._stack.close()


@contextlib.contextmanager
def _logging_to(path: pathlib.Path) -> Iterator[Callable[[], None]]:
    """Log to a file only, and as before afterwards; yield what does so again when logging was set up anew."""
    root = logging.getLogger()
    before = root.handlers[:]
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))

    def log_to_file() -> None:
        root.handlers[:] = [handler]

    log_to_file()
    try:
        yield log_to_file
    finally:
        root.handlers[:] = before
        handler.close()


@contextlib.contextmanager
def services(
    directory: pathlib.Path, kind: str, say: Callable[[str], None], disks: Mapping[str, Disk] | None = None
) -> Iterator[Ground]:
    """Start RabbitMQ and a database for one run, with their logs in *directory*.

    :param disks: small disks for the data of ``broker`` and ``database``.
    :raises RuntimeError: if one is not installed, or does not start.
    """
    places = {name: disk.place for name, disk in (disks or {}).items()}
    with contextlib.ExitStack() as stack:
        say("starting RabbitMQ")
        rabbitmq = RabbitMQ(directory, places.get("broker"))
        stack.callback(rabbitmq.stop)
        say(f"starting {kind}")
        server = MariaDB if kind == "mariadb" else PostgreSQL
        database: MariaDB | PostgreSQL = server(directory, places.get("database"))
        stack.callback(database.stop)
        supply: Databases = (
            MariadbDatabases(database.url, directory)
            if isinstance(database, MariaDB)
            else PostgresqlDatabases(database.url, directory)
        )
        yield Ground(rabbitmq, database, supply.with_ours, disks or {})


def own_cloud_of(context: Context) -> OwnCloud:
    """Return the stage of a plugin that needs a cloud of its own.

    :raises InvalidScenario: if the scenario has another one.
    """
    if not isinstance(context.stage, OwnCloud):
        raise InvalidScenario(
            context.name, "works only on the stage own-cloud", "change stage.use, or remove it"
        )
    return context.stage
