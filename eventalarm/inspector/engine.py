"""Processes events: maintains the resource map, and publishes an event for each affected owner."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from eventalarm.catalogue.faults import FaultCatalogue
from eventalarm.inspector import fan_out
from eventalarm.inspector.maintenance import in_order, read_host
from eventalarm.inspector.observations import observe
from eventalarm.inspector.policies import Policy
from eventalarm.inspector.reports import RESOURCE_IDS, ReportReader, with_host_name
from eventalarm.inspector.sessions import SessionTracker
from eventalarm.metrics import Metrics
from eventalarm.model import Event, InfrastructureFault, JSONDict, Resource
from eventalarm.model.maintenance import PLANNED
from eventalarm.owner import Owners
from eventalarm.storage.infrastructure_faults import InfrastructureFaults
from eventalarm.storage.maintenance import MaintenanceStore
from eventalarm.storage.policy_matches import PolicyMatch, PolicyMatches
from eventalarm.storage.resource_map import ResourceMap

LOG = logging.getLogger(__name__)

# The traits that name the resource that an event is about.
ABOUT: Final = (*RESOURCE_IDS, "resource_id")

Publish = Callable[[Sequence[JSONDict]], None]
# Called with a fault and its affected resources once their owners' events are published.
React = Callable[[InfrastructureFault, Sequence[Resource]], None]


class Inspector:
    """Turns events into the resource map and into events for owners. Idempotent: a batch may be repeated.

    :param publish: returns when the broker has confirmed the events; raises PublishError.
    :param policies: report a fault after several events, which *matches* remembers.
    :param react: called with a fault that was raised or cleared, to start further reactions; must not block.
    :param sessions: handles events about planned maintenance.
    :param now: the present time of a clock that all inspectors share (aware UTC); it may raise Retryable.
    :param latest: what that clock would show if it had not been set back, by default *now*: events that are
        in its future since then are not replaced by older ones.
    :param maintenance_timeout: seconds after the last report of a maintenance at which its inhibition ends.
    """

    def __init__(
        self,
        resources: ResourceMap,
        faults: InfrastructureFaults,
        catalogue: FaultCatalogue,
        *,
        reader: ReportReader,
        owners: Owners,
        publish: Publish,
        metrics: Metrics,
        now: Callable[[], datetime.datetime],
        latest: Callable[[], datetime.datetime] | None = None,
        react: React = lambda fault, resources: None,
        policies: Sequence[Policy] = (),
        matches: PolicyMatches,
        maintenance: MaintenanceStore,
        maintenance_timeout: float,
        sessions: SessionTracker,
    ) -> None:
        self._resources = resources
        self._faults = faults
        self._catalogue = catalogue
        self._reader = reader
        self._owners = owners
        self._publish = publish
        self._metrics = metrics
        self._now = now
        self._latest = latest or now
        self._react = react
        self._policies = tuple(policies)
        self._matches = matches
        self._maintenance = maintenance
        self._maintenance_timeout = datetime.timedelta(seconds=maintenance_timeout)
        self._sessions = sessions

    def process(self, events: Sequence[Event]) -> None:
        """Handle the events of a batch.

        :raises Retryable: when the database or the broker failed; then the batch must be repeated.
        """
        received = self._latest()
        self._follow_maintenance(events, received)
        observed = [one for event in events if (one := observe(event, self._owners, received)) is not None]
        if observed:
            self._metrics.count("inspector_events", len(observed), outcome="observed")
            self.follow(self._resources.apply(observed))
        self._sessions.process(events, received)
        unowned = [event for event in events if self._reader.is_unowned(event)]
        known = self._known(unowned)
        self._publish_owned(unowned, known)
        named = [with_host_name(event, known) for event in unowned]
        self._apply_policies(named, received)
        reports = [one for event in named for one in self._reader.read(event, received)]
        for report in sorted(reports, key=lambda one: one.at):
            if report.raised:
                self._raise(report)
            else:
                self._clear(report)

    def _follow_maintenance(self, events: Sequence[Event], received: datetime.datetime) -> None:
        """Begin and end the maintenance of hosts before the faults of the same batch are handled."""
        now = self._now()
        for event in in_order(events, received):
            report = read_host(event, received)
            if report is None or report.host.state == PLANNED:
                continue
            found = report.maintenance(now + self._maintenance_timeout)
            if report.host.ended:
                self._maintenance.end(found, now)
            else:
                self._maintenance.begin(found, now)

    def _known(self, events: Sequence[Event]) -> Mapping[str, Resource]:
        """Return what the map says of the resources that events are about, by id."""
        about = {event.first_trait(ABOUT) for event in events} - {""}
        return self._resources.find(about) if about else {}

    def _publish_owned(self, events: Sequence[Event], known: Mapping[str, Resource]) -> None:
        """Publish events about a resource that name no owner again, with the owner."""
        about = ((event, known.get(event.first_trait(ABOUT))) for event in events)
        owned = [fan_out.owned_event(event.body, one) for event, one in about if one and one.project_id]
        if owned:
            self._publish(owned)
            self._metrics.count("inspector_events", len(owned), outcome="owned")

    def _apply_policies(self, events: Sequence[Event], received: datetime.datetime) -> None:
        """Publish the report of each policy whose number of events is reached."""
        sources = ((policy, event, policy.source_of(event)) for policy in self._policies for event in events)
        found = [one for one in sources if one[2]]
        numbers = self._matches.count(
            [
                PolicyMatch(policy.name, source, event.message_id, event.time(received), policy.within)
                for policy, event, source in found
            ]
        )
        reports = []
        for (policy, event, source), number in zip(found, numbers, strict=True):
            if number >= policy.at_least:
                reports.append(policy.report(event, source))
                LOG.info("Policy %s: %s of %s is reported", policy.name, policy.emit, source)
        if reports:
            self._publish(reports)
            self._metrics.count("inspector_events", len(reports), outcome="policy")

    def _raise(self, report: InfrastructureFault) -> None:
        found = self._faults.raise_fault(report)
        if found is None:
            self._metrics.count("inspector_events", outcome="late")
            return
        fault, resources = found
        entry = self._catalogue.get(fault.name)
        if entry is None or not resources:
            return
        self._publish(fan_out.raised_events(entry, fault, resources))
        self._faults.mark_published(fault, resources)
        self._metrics.count("inspector_events", len(resources), outcome="raised")
        LOG.info("%s of %s affects %d resources", fault.name, fault.source, len(resources))
        self._react(fault, resources)

    def _clear(self, report: InfrastructureFault) -> None:
        found = self._faults.affected_by(report)
        if found is None:
            return
        fault, resources = found
        entry = self._catalogue.get(report.name)
        if entry is not None and resources:
            self._publish(fan_out.cleared_events(entry, report, fault.fault_id, resources))
            self._metrics.count("inspector_events", len(resources), outcome="cleared")
        self._faults.clear(report)
        if entry is None:
            return
        LOG.info("%s of %s has ended; it affected %d resources", report.name, report.source, len(resources))
        self._react(report, resources)

    def follow(self, resources: Sequence[Resource]) -> None:
        """Publish events for those *resources* that moved to the host of a raised fault, or away from it.

        What moved to a host in maintenance is inhibited, and what left it no longer.
        """
        self._maintenance.follow(resources, self._now())
        for fault in self._faults.raised_among(resources):
            self.catch_up(fault)

    def catch_up_all(self) -> None:
        """Publish events for the resources that the map lacked when the raised faults were reported.

        What is on a host in maintenance is inhibited.
        """
        self._maintenance.refresh(self._now())
        for fault in self._faults.raised():
            self.catch_up(fault)

    def catch_up(self, fault: InfrastructureFault) -> None:
        """Publish events for resources that moved to the hosts of a raised fault, or away from them."""
        entry = self._catalogue.get(fault.name)
        if entry is None:
            return
        arrived, left = self._faults.changes(fault)
        events = fan_out.arrived_events(entry, fault, arrived)
        events += fan_out.left_events(entry, fault, left, self._now())
        if events:
            self._publish(events)
        if arrived:
            self._faults.mark_published(fault, arrived)
            self._metrics.count("inspector_events", len(arrived), outcome="arrived")
        if left:
            self._faults.forget_affected(fault, left)
            self._metrics.count("inspector_events", len(left), outcome="left")
