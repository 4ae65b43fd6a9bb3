"""One eventalarm-inspector process, built from the options: the consumer, the snapshots and the reactions."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import threading
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import prometheus_client
from oslo_config import cfg

from eventalarm import bus
from eventalarm.app import waiting
from eventalarm.catalogue import fault_files
from eventalarm.conf import GROUP, INSPECTOR_GROUP
from eventalarm.exceptions import InvalidOption
from eventalarm.inspector import cloud, consumer, policies
from eventalarm.inspector.engine import Inspector, Publish, React
from eventalarm.inspector.reactions import ReactionOptions, Reactions
from eventalarm.inspector.reports import ReportReader
from eventalarm.inspector.sessions import SessionTracker
from eventalarm.inspector.snapshot import LEASE_SECONDS, Snapshot, SnapshotLoop
from eventalarm.metrics import Metrics
from eventalarm.metrics_server import check_free
from eventalarm.model import EventLimits
from eventalarm.owner import Owners
from eventalarm.publisher import partitions
from eventalarm.rounds import Rounds
from eventalarm.storage.infrastructure_faults import InfrastructureFaults
from eventalarm.storage.leases import LeaderLease
from eventalarm.storage.maintenance import MaintenanceStore
from eventalarm.storage.maintenance_sessions import MaintenanceSessions
from eventalarm.storage.policy_matches import PolicyMatches
from eventalarm.storage.resource_map import SNAPSHOT_LEASE, ResourceMap

LOG = logging.getLogger(__name__)

# Seconds between two looks for answers that are overdue.
ANSWERS_PERIOD: Final = 1.0
# The longest window of a policy.
LONGEST_WINDOW: Final = datetime.timedelta(days=1)


def parse_switches(values: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the hosts behind each switch from the values of ``switch_hosts``.

    :raises InvalidOption: when a value does not have the form SWITCH=HOST,HOST.
    """
    found: dict[str, tuple[str, ...]] = {}
    for value in values:
        switch, _, hosts = value.partition("=")
        listed = tuple(host.strip() for host in hosts.split(",") if host.strip())
        if not switch.strip() or not listed:
            raise InvalidOption(
                f"[{INSPECTOR_GROUP}] switch_hosts", f"{value!r} names no hosts", "write SWITCH=HOST,HOST"
            )
        found[switch.strip()] = found.get(switch.strip(), ()) + listed
    return found


def reaction_options(conf: cfg.ConfigOpts) -> ReactionOptions:
    """Return the options of the requests to Nova and Neutron."""
    group = conf[INSPECTOR_GROUP]
    return ReactionOptions(
        group.force_down,
        group.reset_state,
        group.data_plane_status,
        workers=group.reaction_workers,
        waiting=group.max_reactions,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Stores:
    """What the inspector keeps in the database; ``now`` is the database's clock (aware UTC).

    ``latest`` is what it would show if it had not been set back.
    """

    resources: ResourceMap
    faults: InfrastructureFaults
    matches: PolicyMatches
    maintenance: MaintenanceStore
    sessions: MaintenanceSessions
    now: Callable[[], datetime.datetime]
    latest: Callable[[], datetime.datetime]

    def forget(self, before: datetime.datetime, now: datetime.datetime) -> None:
        """Remove resources, faults, maintenance and sessions that ended before *before*, and old matches.

        :raises Retryable: when the database failed.
        """
        for store in (self.resources, self.faults, self.maintenance, self.sessions):
            store.forget(before)
        self.matches.forget(now - LONGEST_WINDOW)


class InspectorProcess:
    """Consumes events until it is stopped.

    :raises InvalidOption: from the constructor and :meth:`start`, when an option can never work.
    """

    def __init__(self, conf: cfg.ConfigOpts, metrics: Metrics | None = None) -> None:
        self._conf = conf
        self._metrics = metrics or Metrics()
        self._owners = Owners(conf[GROUP].owner_traits)
        self._switches = parse_switches(conf[INSPECTOR_GROUP].switch_hosts)
        self._reactions = reaction_options(conf)
        self._policies = policies.load(conf[INSPECTOR_GROUP].policies)
        bus.get_transport(conf).cleanup()
        group = conf[INSPECTOR_GROUP]
        self._cloud = cloud.connect(conf) if group.snapshot_interval or self._reactions.any else None
        self._stopping = threading.Event()
        self._stack = contextlib.ExitStack()

    def start(self) -> None:
        """Wait for the database and the broker, then start; returns once events are consumed."""
        self._serve_metrics()
        database = waiting.wait_for_database(self._conf, self._stopping)
        if database is None or not waiting.wait_for_broker(self._conf, self._stopping):
            return
        self._stack.callback(database.dispose)
        if self._cloud is not None:
            self._stack.callback(self._cloud.close)
        stores = Stores(
            ResourceMap(database),
            InfrastructureFaults(database),
            PolicyMatches(database),
            MaintenanceStore(database),
            MaintenanceSessions(database),
            database.about_now,
            database.latest_now,
        )
        transport = bus.get_transport(self._conf)
        self._stack.callback(transport.cleanup)
        publish = consumer.publisher(transport, self._route())
        tracker = self._build_tracker(stores, publish)
        inspector = self._build_inspector(stores, publish, tracker)
        self._start_consumer(inspector)
        self._start_answers(tracker, stores)
        skew = self._conf[GROUP].max_clock_skew
        lease = LeaderLease(database, SNAPSHOT_LEASE, str(uuid.uuid4()), LEASE_SECONDS, max_skew=skew)
        self._start_snapshots(lease, stores, inspector)

    def _serve_metrics(self) -> None:
        group = self._conf[INSPECTOR_GROUP]
        if group.metrics_port:
            check_free(group.metrics_host, group.metrics_port, INSPECTOR_GROUP)
            server, _ = prometheus_client.start_http_server(
                group.metrics_port, group.metrics_host, self._metrics.registry
            )
            self._stack.callback(server.shutdown)

    def _route(self) -> consumer.Route:
        group, ours = self._conf[GROUP], self._conf[INSPECTOR_GROUP]
        # Sources that are restarted after this process still use the topics of the former number. Those of a
        # number that this queue was ever bound to stay bound; at its first start that is one partition.
        counts = sorted({1, group.partitions})
        return consumer.Route(
            [one.topic(group.topic) for count in counts for one in partitions.all_of(count)],
            partitions.Partitioning.configured(self._conf).split,
            group.exchange,
            ours.queue,
            ours.batch_size,
            ours.max_message_size,
        )

    def _build_tracker(self, stores: Stores, publish: Publish) -> SessionTracker:
        return SessionTracker(
            stores.resources,
            stores.sessions,
            owners=self._owners,
            publish=publish,
            metrics=self._metrics,
            infrastructure_projects=self._conf[GROUP].infrastructure_projects,
        )

    def _start_answers(self, tracker: SessionTracker, stores: Stores) -> None:
        rounds = Rounds(
            lambda: tracker.check_answers(stores.now()),
            name="answers",
            pause=ANSWERS_PERIOD,
            complaint="The answers of maintenance sessions are checked later",
        )
        rounds.start()
        self._stack.callback(rounds.stop)

    def _build_inspector(self, stores: Stores, publish: Publish, tracker: SessionTracker) -> Inspector:
        catalogue = fault_files.load(self._conf[GROUP].fault_catalogue)
        return Inspector(
            stores.resources,
            stores.faults,
            catalogue,
            reader=ReportReader(catalogue, self._owners, self._switches),
            owners=self._owners,
            publish=publish,
            metrics=self._metrics,
            now=stores.now,
            latest=stores.latest,
            react=self._build_reactions(stores),
            policies=self._policies,
            matches=stores.matches,
            maintenance=stores.maintenance,
            maintenance_timeout=self._conf[INSPECTOR_GROUP].maintenance_timeout,
            sessions=tracker,
        )

    def _build_reactions(self, stores: Stores) -> React:
        if self._cloud is None or not self._reactions.any:
            return lambda fault, resources: None

        def in_maintenance(hosts: Collection[str]) -> set[str]:
            return stores.maintenance.in_maintenance(hosts, stores.now())

        reactions = Reactions(self._cloud, in_maintenance, self._reactions, self._metrics)
        self._stack.callback(reactions.stop)
        return reactions

    def _start_consumer(self, inspector: Inspector) -> None:
        group = self._conf[GROUP]
        limits = EventLimits(group.max_event_traits, group.max_trait_length, group.max_event_key_length)
        endpoint = consumer.Endpoint(inspector, limits, self._metrics, self._stopping)
        route = self._route()
        transport: Any = bus.get_transport(self._conf, prefetch=2 * route.batch_size)
        self._stack.callback(transport.cleanup)
        server = consumer.build_server(transport, route, endpoint)
        server.start(override_pool_size=1)
        for stop in (server.wait, server.stop):
            self._stack.callback(stop)
        LOG.info("Consuming from queue %s", route.queue)

    def _start_snapshots(self, lease: LeaderLease, stores: Stores, inspector: Inspector) -> None:
        group = self._conf[INSPECTOR_GROUP]
        forget_after = datetime.timedelta(seconds=group.forget_after)
        snapshot = None
        if self._cloud is not None and group.snapshot_interval:
            snapshot = Snapshot(self._cloud, stores.resources, inspector, lambda: self._keeps(lease))
        loop = SnapshotLoop(
            snapshot,
            lease,
            stores.resources,
            forget=lambda now: stores.forget(now - forget_after, now),
            interval=group.snapshot_interval,
            metrics=self._metrics,
            now=stores.now,
        )
        loop.start()
        self._stack.callback(loop.stop)

    def _keeps(self, lease: LeaderLease) -> bool:
        return not self._stopping.is_set() and lease.take()

    def wait(self) -> None:
        """Return once the process is to end."""
        self._stopping.wait()

    def end(self) -> None:
        """Let :meth:`wait` return; safe to call from a signal handler."""
        self._stopping.set()

    def stop(self) -> None:
        """Finish the current batch and return the rest to the broker."""
        self._stopping.set()
        self._stack.close()
