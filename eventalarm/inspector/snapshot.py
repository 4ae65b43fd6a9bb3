"""Fills the resource map from Nova and Neutron, and corrects it regularly, in one of the inspectors."""

from __future__ import annotations

import datetime
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from eventalarm.exceptions import Retryable
from eventalarm.inspector.cloud import Cloud, CloudUnavailable
from eventalarm.inspector.engine import Inspector
from eventalarm.metrics import Metrics
from eventalarm.model import EPOCH, Resource, ResourceKind
from eventalarm.rounds import Rounds
from eventalarm.storage.leases import LeaderLease
from eventalarm.storage.resource_map import ResourceMap

LOG = logging.getLogger(__name__)

# Seconds: the length of the leader lease, and the longest pause between two attempts to take or renew it.
LEASE_SECONDS: Final = 120.0
POLL: Final = 10.0
BATCH: Final = 500
FORGET_EVERY: Final = datetime.timedelta(hours=1)


class LeaseLost(Exception):
    """Another inspector took the lease while a snapshot was being taken."""


class Snapshot:
    """Takes one snapshot after the other.

    :param keep: called before every batch; returns False when the snapshot must be given up.
    """

    def __init__(
        self, cloud: Cloud, resources: ResourceMap, inspector: Inspector, keep: Callable[[], bool]
    ) -> None:
        self._cloud = cloud
        self._resources = resources
        self._inspector = inspector
        self._keep = keep

    def take(self, began: datetime.datetime) -> int:
        """Write the servers, their volumes and the ports to the map, and return their number.

        Servers, ports and ids of hosts that a complete snapshot lacks are marked deleted. Then events are
        published for resources whose host was unknown when a fault was reported.

        :param began: the present time (aware UTC); observations since then are not undone.
        :raises CloudUnavailable: when Nova or Neutron failed; what was read before is kept.
        :raises LeaseLost: when *keep* returned False.
        :raises Retryable: when the database or the broker failed.
        """
        self._write_host_ids(began)
        groups = self._cloud.server_groups()
        servers = self._write(itertools.chain.from_iterable(self._cloud.servers(groups, began)))
        ports = self._write(self._cloud.ports(began))
        for kind, seen in ((ResourceKind.SERVER, servers), (ResourceKind.PORT, ports)):
            self._resources.delete_unseen(kind, seen, began)
        self._inspector.catch_up_all()
        return len(servers) + len(ports)

    def _write_host_ids(self, began: datetime.datetime) -> None:
        """Write the ids by which Masakari names hosts; most clouds have no Masakari."""
        try:
            found = self._cloud.host_ids(began)
        except CloudUnavailable as exc:
            LOG.debug("Masakari's ids of hosts are not read: %s", exc)
            return
        self._resources.delete_unseen(ResourceKind.HOST_ID, self._write(found), began)

    def _write(self, resources: Iterable[Resource]) -> set[str]:
        seen: set[str] = set()
        for batch in _batches(resources):
            if not self._keep():
                raise LeaseLost
            self._resources.apply(batch)
            seen.update(one.resource_id for one in batch)
        return seen


def _batches(resources: Iterable[Resource]) -> Iterator[list[Resource]]:
    iterator = iter(resources)
    while batch := list(itertools.islice(iterator, BATCH)):
        yield batch


class SnapshotLoop:
    """A thread that takes a snapshot every *interval* seconds, while it holds the leader lease.

    It also forgets what is no longer needed, every hour, and sets the gauges of the map and of faults in
    each round: with or without the lease, and while no snapshot can be taken.

    :param snapshot: None where no snapshots are taken.
    :param forget: removes what is no longer needed at a time (aware UTC).
    """

    def __init__(
        self,
        snapshot: Snapshot | None,
        lease: LeaderLease,
        resources: ResourceMap,
        *,
        forget: Callable[[datetime.datetime], None],
        interval: float,
        metrics: Metrics,
        now: Callable[[], datetime.datetime],
    ) -> None:
        self._snapshot = snapshot
        self._lease = lease
        self._resources = resources
        self._forget = forget
        self._interval = datetime.timedelta(seconds=interval)
        self._metrics = metrics
        self._now = now
        self._forgot_at = EPOCH
        self._rounds = Rounds(
            self._round,
            name="snapshot",
            pause=min(POLL, interval or POLL),
            complaint="The snapshot of Nova and Neutron failed and will be repeated",
        )

    def start(self) -> None:
        """Start the thread; it takes a snapshot at once if the last one is too old."""
        self._rounds.start()

    def stop(self) -> None:
        """End the thread after its current request, and release the lease."""
        self._rounds.stop()
        try:
            self._lease.leave()
        except Retryable:
            LOG.debug("The leader lease was not released; it expires by itself")

    def _round(self) -> None:
        began = self._now()
        try:
            # An inspector that takes no snapshots must not hold the lease of those that do.
            if self._snapshot is not None and self._lease.take() and self._is_due(began):
                self._take(self._snapshot, began)
        finally:
            # Nova or Neutron may be unavailable for days.
            if not _is_within(FORGET_EVERY, self._forgot_at, began):
                self._forgot_at = began
                self._forget(began)
            self._report()

    def _take(self, snapshot: Snapshot, began: datetime.datetime) -> None:
        try:
            number = snapshot.take(began)
        except LeaseLost:
            LOG.info("Another inspector takes the snapshots")
            return
        self._lease.done(began)
        LOG.info("The resource map has %d resources of Nova and Neutron", number)

    def _is_due(self, now: datetime.datetime) -> bool:
        done = self._lease.done_at()
        return done is None or not _is_within(self._interval, done, now)

    def _report(self) -> None:
        done, stats = self._lease.done_at(), self._resources.stats()
        if done is not None:
            self._metrics.set("resource_map_timestamp_seconds", done.timestamp())
        self._metrics.set("resource_map_resources", sum(stats.resources.values()))
        self._metrics.set("infrastructure_faults", stats.raised)


def _is_within(interval: datetime.timedelta, done: datetime.datetime, now: datetime.datetime) -> bool:
    """Return True if *done* is less than *interval* ago; a future time is that of a clock set back."""
    return datetime.timedelta(0) <= now - done < interval
