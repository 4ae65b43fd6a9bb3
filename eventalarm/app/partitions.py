"""Builds the consumer of a listener process: of one topic, or of the partitions that it acquires."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import uuid
from collections.abc import Callable, Collection

from oslo_config import cfg

from eventalarm import bus
from eventalarm.app.waiting import BROKER_TIMEOUT
from eventalarm.broker import Broker, QueueWatch
from eventalarm.conf import GROUP
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.handler import BatchHandler
from eventalarm.evaluator.listener import BatchServer
from eventalarm.evaluator.partitioned import PartitionedConsumer
from eventalarm.evaluator.project_loader import ProjectLoader
from eventalarm.exceptions import InvalidOption
from eventalarm.publisher.partitions import Partition, of_project
from eventalarm.storage.database import Database
from eventalarm.storage.partition_leases import PartitionLeases

# Builds a server for these topics, of which the second ones are gated.
BuildServer = Callable[[Collection[str], Collection[str]], BatchServer]

Consumer = BatchServer | PartitionedConsumer


def check(conf: cfg.ConfigOpts) -> None:
    """Check that the broker allows the number of partitions.

    :raises InvalidOption: when it does not.
    """
    if conf[GROUP].partitions > 1 and not _is_rabbit(conf):
        raise InvalidOption(
            f"[{GROUP}] partitions",
            f"more than one partition requires RabbitMQ, and transport_url is {bus.describe(conf)}",
            "set it to 1",
        )


def _is_rabbit(conf: cfg.ConfigOpts) -> bool:
    return bus.driver_name(bus.transport_url(conf)) in bus.RABBIT_DRIVERS


@dataclasses.dataclass(frozen=True)
class Definitions:
    """The alarm definitions of one process, which belong to the partitions that it consumes.

    The alarms of *infrastructure_projects* are needed where events without a project arrive.
    """

    cache: AlarmCache
    loader: ProjectLoader
    count: int
    infrastructure_projects: Collection[str]
    preload: bool

    def consume(self, partitions: Collection[Partition]) -> None:
        """Forget the projects of other partitions, and load the large ones of these in the background."""

        def wanted(project_id: str) -> bool:
            return of_project(project_id, self.count) in partitions or (
                project_id in self.infrastructure_projects and of_project("", self.count) in partitions
            )

        self.cache.retain(wanted)
        if self.preload:
            self.loader.preload(wanted)


def build(
    conf: cfg.ConfigOpts,
    database: Database,
    handler: BatchHandler,
    definitions: Definitions,
    build_server: BuildServer,
) -> Consumer:
    """Return the consumer, not yet started: of one topic if no other number of partitions was ever used.

    :raises eventalarm.exceptions.Retryable: when the database failed.
    """
    group = conf[GROUP]
    leases = PartitionLeases(database, me := uuid.uuid4().hex[:16])
    if group.partitions == 1 and not (_is_rabbit(conf) and leases.exist()):
        return build_server((), ())

    def changed(partitions: Collection[Partition]) -> None:
        handler.dropped()
        definitions.consume(partitions)

    transport = bus.get_transport(conf)
    ending = contextlib.ExitStack()
    ending.callback(database.leave)
    ending.callback(transport.cleanup)
    return PartitionedConsumer(
        me,
        leases,
        QueueWatch(Broker.of(conf, BROKER_TIMEOUT)),
        base=group.topic,
        count=group.partitions,
        lease=group.partition_lease,
        max_skew=group.max_clock_skew,
        build=functools.partial(_build_for, build_server, group),
        changed=changed,
        send_marker=lambda topic, marker: bus.send_marker(
            transport, marker, topic=topic, exchange=group.exchange
        ),
        ended=ending.close,
    )


def _build_for(
    build_server: BuildServer, group: cfg.ConfigOpts.GroupAttr, partitions: Collection[Partition]
) -> BatchServer:
    """Return the server of the topics of some partitions."""
    current = [one.topic(group.topic) for one in partitions if one.count == group.partitions]
    return build_server([one.topic(group.topic) for one in sorted(partitions)], current)
