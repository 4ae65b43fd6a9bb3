"""Follows sessions of planned maintenance, and publishes what their projects must know."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from collections.abc import Callable, Collection, Sequence

from eventalarm.inspector import maintenance_events
from eventalarm.inspector.maintenance import (
    SessionReport,
    apply_host,
    apply_session,
    in_order,
    read_host,
    read_session,
)
from eventalarm.metrics import Metrics
from eventalarm.model import EPOCH, Event, JSONDict, Resource, ResourceKind
from eventalarm.model.maintenance import NO_PROJECT, HostReport, MaintenanceSession
from eventalarm.owner import Owners
from eventalarm.storage.maintenance_sessions import MaintenanceSessions
from eventalarm.storage.resource_map import ResourceMap

LOG = logging.getLogger(__name__)


class SessionTracker:
    """Turns each step of a session into an event for each server. Idempotent: a batch may be repeated.

    :param publish: returns when the broker has confirmed the events; raises PublishError.
    :param infrastructure_projects: those whose alarms match events without a project.
    """

    def __init__(
        self,
        resources: ResourceMap,
        sessions: MaintenanceSessions,
        *,
        owners: Owners,
        publish: Callable[[Sequence[JSONDict]], None],
        metrics: Metrics,
        infrastructure_projects: Collection[str] = (),
    ) -> None:
        self._resources = resources
        self._sessions = sessions
        self._owners = owners
        self._publish = publish
        self._metrics = metrics
        self._infrastructure_projects = frozenset(infrastructure_projects)

    def process(self, events: Sequence[Event], received: datetime.datetime) -> None:
        """Handle the events of a batch that are about planned maintenance, the oldest first.

        :raises Retryable: when the database or the broker failed; then the batch must be repeated.
        """
        for event in in_order(events, received):
            owner = self._owners.of(event)
            scheduled = read_session(event, owner, received)
            if scheduled is not None:
                self._schedule(scheduled)
                continue
            host = read_host(event, received)
            if host is not None:
                self._host(host, event, owner)

    def _schedule(self, report: SessionReport) -> None:
        servers = self._servers_of(report)
        changed = self._sessions.update(
            report.session_id,
            lambda known: [apply_session(report, known.get(report.project_id), servers)],
        )
        self._publish_about(changed, report.message_id)

    def _servers_of(self, report: SessionReport) -> list[Resource]:
        """Return the servers that a report names; without names, those that the resource map has.

        These are the project's servers on the hosts of the session, or all of them while it has no such host.
        A server of another project is left out, even if the report names it.
        """
        if report.instance_ids is None:
            session = self._sessions.get(report.session_id, NO_PROJECT)
            hosts = [one.host for one in session.hosts if not one.ended] if session is not None else []
            return self._resources.servers(hosts or None, report.project_id)
        found = self._resources.find(report.instance_ids)
        unknown = Resource(ResourceKind.SERVER, "", EPOCH, project_id=report.project_id)
        servers = [
            found.get(name) or dataclasses.replace(unknown, resource_id=name) for name in report.instance_ids
        ]
        return [one for one in servers if one.project_id == report.project_id]

    def _host(self, report: HostReport, event: Event, owner: str) -> None:
        servers = self._resources.servers([report.host.host])
        changed = self._sessions.update(report.session_id, lambda known: apply_host(report, known, servers))
        if owner and owner not in self._infrastructure_projects:
            self._publish([maintenance_events.unowned_copy(event.body)])
        self._publish_about(changed, event.message_id)

    def _publish_about(self, sessions: Sequence[MaintenanceSession], cause: str) -> None:
        events = [
            body
            for one in sessions
            if one.project_id != NO_PROJECT
            for body in maintenance_events.instance_events(one, cause)
        ]
        if events:
            self._publish(events)
            self._metrics.count("inspector_events", len(events), outcome="maintenance")

    def check_answers(self, now: datetime.datetime) -> None:
        """Publish ``maintenance.unanswered`` for each session whose answer is overdue, once, and its end.

        Several inspectors may do this at once: they publish the same events.
        """
        for session in self._sessions.overdue(now):
            if session.alarmed and (session.answered or session.alarmed != session.message_id):
                self._publish([maintenance_events.answered_event(session, now)])
                self._sessions.mark_alarmed(session, "")
            elif not session.alarmed and not session.answered:
                self._publish([maintenance_events.overdue_event(session, now)])
                self._sessions.mark_alarmed(session, session.message_id)
                LOG.info(
                    "Session %s: project %s has not answered %s",
                    session.session_id,
                    session.project_id,
                    session.state,
                )
