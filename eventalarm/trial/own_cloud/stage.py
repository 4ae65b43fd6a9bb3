"""The stage: a supervised cloud with two listeners behind links that can be cut."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import pathlib
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
import trustme
from aodh.storage.sqlalchemy import models

from eventalarm.exceptions import Retryable
from eventalarm.storage.tables import delivery, transition, worker
from eventalarm.trial.history.facts import LATE
from eventalarm.trial.history.records import Alarm, Committed, History
from eventalarm.trial.own_cloud.consumers import Consumers
from eventalarm.trial.own_cloud.load import workload
from eventalarm.trial.own_cloud.programs.cloud import Cloud
from eventalarm.trial.own_cloud.programs.configuration import write_config
from eventalarm.trial.own_cloud.programs.listeners import Listener
from eventalarm.trial.own_cloud.programs.processes import Programs
from eventalarm.trial.own_cloud.proxy import HOST, Links
from eventalarm.trial.own_cloud.services.disks import Disk
from eventalarm.trial.own_cloud.services.faketime import faked_python, set_clock
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ, Service

QUORUM = "?rabbit_quorum_queue=true"
CHUNK = 1000
# Alarms are older than the look-back of any listener.
AGE = datetime.timedelta(hours=1)
# Consumers: one that always works, some that misbehave, and one with TLS.
STEADY, MOODY, SECURE = "steady", ("a", "b", "c", "d"), "tls"
LOST_LEASE = re.compile(r"^(\S+ \S+) .*The lease was not renewed in time", re.MULTILINE)
UNFINISHED = ("pending", "leased")


@dataclasses.dataclass(frozen=True)
class Ground:
    """The services of one run, which may be killed; ``new_url`` makes a database with Aodh's tables.

    ``disks`` are those of the ``broker`` and the ``database`` if each has a small one.
    """

    rabbitmq: RabbitMQ
    database: Service
    new_url: Callable[[], str]
    disks: Mapping[str, Disk] = dataclasses.field(default_factory=dict)


class Stage:
    """Cloud, listeners, links and consumers; ``close`` ends them, but not the services."""

    def __init__(
        self,
        ground: Ground,
        directory: pathlib.Path,
        delivery_options: Mapping[str, Any],
        *,
        listeners: int = 2,
        consumers: Sequence[str] = (STEADY, *MOODY, SECURE),
        outage: tuple[float, float] = (0.0, 15.0),
        linked: bool = True,
        broker: str = "",
        clock: bool = False,
        history: History | None = None,
    ) -> None:
        self.ground = ground
        self.outage = outage
        self.history = History() if history is None else history
        self._read: set[str] = set()
        self._stack = contextlib.ExitStack()
        self._programs = Programs(directory)
        self._stack.callback(self._programs.close)
        authority = trustme.CA()
        bundle = directory / "authority.pem"
        authority.cert_pem.write_to_path(str(bundle))
        identity = directory / "consumer.pem"
        authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(identity))
        transport_url = ground.rabbitmq.new_url() + QUORUM + broker
        self.cloud = Cloud(
            self._programs,
            directory,
            ground.new_url(),
            transport_url,
            DEFAULT={"rest_notifier_ca_bundle_certificate_path": bundle},
            eventalarm_delivery=delivery_options,
        )
        self._stack.callback(self.cloud.close)
        self.transport_url = transport_url
        self.links = Links()
        self._stack.callback(self.links.close)
        self.consumers = Consumers()
        self._stack.callback(self.consumers.close)
        self.actions = {
            name: self.consumers.open(name, str(identity) if name == SECURE else "") for name in consumers
        }
        conf = self._linked_conf if linked else self._direct_conf
        # The first listener's host has a clock of its own if *clock*.
        self.clock = directory / "clock"
        set_clock(self.clock, 0.0)
        faked = faked_python(self.clock, directory) if clock else None
        self.listeners = [
            Listener(self.cloud, conf(number, directory), None if number else faked)
            for number in range(listeners)
        ]

    def _direct_conf(self, _number: int, _directory: pathlib.Path) -> pathlib.Path:
        return self.cloud.conf_path

    def _linked_conf(self, number: int, directory: pathlib.Path) -> pathlib.Path:
        """Return a configuration file that makes one listener use its own links."""
        broker, database = self.ground.rabbitmq.info["port"], self.ground.database.info["port"]
        ports = {
            str(port): str(self.links.open(f"{kind} {number}", port))
            for kind, port in (("broker", broker), ("database", database))
        }
        urls = [self.transport_url, self.cloud.database_url]
        for port, instead in ports.items():
            urls = [url.replace(f":{port}/", f":{instead}/") for url in urls]
        sections = {"DEFAULT": {"transport_url": urls[0]}, "database": {"connection": urls[1]}}
        return write_config(directory / f"listener-{number}.conf", sections)

    def start(self) -> None:
        """Start the Aodh API and the listeners."""
        self.cloud.start_api()
        for listener in self.listeners:
            listener.start(wait=True)

    def close(self) -> None:
        """End everything but the services."""
        self._stack.close()

    @property
    def programs(self) -> Programs:
        """Starts further programs, which end with the stage."""
        return self._programs

    def texts(self) -> Iterator[str]:
        """Yield the output of each program."""
        return self._programs.texts()

    def lost_leases(self) -> list[float]:
        """Return the times at which listeners found that they had been frozen for longer than their lease."""
        return [
            datetime.datetime.fromisoformat(moment).timestamp()
            for text in self._programs.texts()
            for moment in LOST_LEASE.findall(text)
        ]

    # -- the database, queried directly, not through a link

    def insert(self, alarms: Sequence[tuple[workload.AlarmSpec, bool]]) -> int:
        """Insert alarms as the Aodh API would; those marked have ok_actions. Return how many."""
        moment = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) - AGE
        rows = [
            {**workload.alarm_row(spec, moment), "ok_actions": [spec.action] if clears else []}
            for spec, clears in alarms
        ]
        for start in range(0, len(rows), CHUNK):
            with self.cloud.database.begin() as connection:
                connection.execute(models.Alarm.__table__.insert(), rows[start : start + CHUNK])
        self.history.add(
            *(
                Alarm(
                    epoch(),
                    row["alarm_id"],
                    row["project_id"],
                    spec.resource,
                    workload.FAULT,
                    row["name"],
                    tuple(row["alarm_actions"]),
                    clears=clears,
                    repeats=spec.repeat,
                )
                for row, (spec, clears) in zip(rows, alarms, strict=True)
            )
        )
        return len(rows)

    def committed(self, message_ids: Collection[str]) -> set[str]:
        """Return those events that caused a transition; an empty set while the database is away."""
        ids = list(message_ids)
        found: set[str] = set()
        with contextlib.suppress(Retryable):
            for start in range(0, len(ids), CHUNK):
                named = transition.c.message_id.in_(ids[start : start + CHUNK])
                with self.cloud.database.read() as connection:
                    found.update(
                        connection.execute(sa.select(transition.c.message_id).where(named)).scalars()
                    )
        if news := found - self._read:
            self._read |= news
            self.history.add(Committed(epoch(), tuple(sorted(news))))
        return found

    def leased(self) -> dict[str, set[str]]:
        """Return the leased deliveries by their owner."""
        query = sa.select(delivery.c.owner, delivery.c.delivery_id).where(delivery.c.state == "leased")
        found: dict[str, set[str]] = {}
        with self.cloud.database.read() as connection:
            for owner, delivery_id in connection.execute(query):
                found.setdefault(owner, set()).add(delivery_id)
        return found

    def workers(self) -> dict[str, datetime.datetime]:
        """Return when the lease of each worker in the outbox ends."""
        with self.cloud.database.read() as connection:
            rows = connection.execute(sa.select(worker.c.worker_id, worker.c.expires_at))
            return {row[0]: row[1] for row in rows}

    def delivered_since(self, moment: float) -> bool:
        """Return whether a delivery that was created after *moment* (epoch seconds) was accepted."""
        since = datetime.datetime.fromtimestamp(moment, datetime.UTC)
        query = sa.select(delivery.c.seq).where(
            delivery.c.created_at >= since, delivery.c.state == "delivered"
        )
        with self.cloud.database.read() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def unfinished(self) -> int:
        """Return how many deliveries are neither delivered nor given up."""
        query = sa.select(sa.func.count()).where(delivery.c.state.in_(UNFINISHED))
        with self.cloud.database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def withdraw(self, project_id: str) -> None:
        """Remove the waiting deliveries of a project from the outbox; leased ones stay."""
        waiting = sa.and_(delivery.c.project_id == project_id, delivery.c.state == UNFINISHED[0])
        with self.cloud.database.begin() as connection:
            connection.execute(sa.delete(delivery).where(waiting))

    def late(self, message_ids: Collection[str]) -> set[str]:
        """Return those events that were overtaken by newer ones and therefore fired nothing."""
        ids = list(message_ids)
        found: set[str] = set()
        for start in range(0, len(ids), CHUNK):
            # By the index of message ids: the load of this query must not grow with the run.
            named = transition.c.message_id.in_(ids[start : start + CHUNK])
            query = sa.select(transition.c.message_id).where(named, transition.c.kind == LATE)
            with self.cloud.database.read() as connection:
                found.update(connection.execute(query).scalars())
        return found

    def events_recorded(self) -> int:
        """Return how many transitions there are."""
        with self.cloud.database.read() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(transition)).scalar_one())


def epoch() -> float:
    """Return the current time in seconds since the epoch."""
    return time.time()
