"""``/v1/health``: what the health checks of the cloud found, for operators and for tenants."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Iterable
from typing import Final

import falcon

from eventalarm.http.auth import caller_of
from eventalarm.ingest import ingest_policies
from eventalarm.ingest.project_scope import ProjectScope
from eventalarm.ingest.sessions import time_or_none
from eventalarm.model import JSONDict
from eventalarm.model.findings import Finding, Health, TargetState, worst
from eventalarm.storage.database import Database
from eventalarm.storage.pulse import PulseStore

READ: Final = ingest_policies.HEALTH_READ
NO_PROJECT: Final = "the token is not scoped to a project"


@dataclasses.dataclass(frozen=True)
class HealthContext(ProjectScope):
    """What the resource uses; *database* is opened on first use."""

    database: Callable[[], Database]

    def readable_project(self, req: falcon.Request) -> str | None:
        """Return the project whose findings a request reads, or None for all with the infrastructure.

        It is never empty: findings without a project are those of the infrastructure.

        :raises falcon.HTTPForbidden: when the policy does not allow it, or there is no project.
        """
        project_id = self.visible_project(req, READ)
        if project_id == "":
            raise falcon.HTTPForbidden(description=NO_PROJECT)
        return project_id


class CloudHealth:
    """The resource of the latest findings."""

    def __init__(self, context: HealthContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the findings that the caller may read."""
        project_id = self._context.readable_project(req)
        found = PulseStore(self._context.database()).states(project_id=project_id)
        resp.text = json.dumps(of_states(found, with_hosts=self._sees_hosts(req)))

    def _sees_hosts(self, req: falcon.Request) -> bool:
        caller = caller_of(req)
        return self._context.guard.allows(caller, ingest_policies.HEALTH_ALL, caller.project_id)


def of_states(found: Iterable[tuple[str, TargetState]], *, with_hosts: bool) -> JSONDict:
    """Return the latest findings of the service as clients see them."""
    listed = list(found)
    findings = [
        shown(check, one.finding, one.checked_at, since=one.since, with_host=with_hosts)
        for check, one in listed
    ]
    newest = max((one.checked_at for _, one in listed), default=None)
    return document((one.finding.health for _, one in listed), findings, newest)


def document(healths: Iterable[Health], findings: list[JSONDict], at: datetime.datetime | None) -> JSONDict:
    """Return the body of a response; where nothing was checked, the status is unknown."""
    status = worst(healths) if findings else Health.UNKNOWN
    return {"status": status.name.lower(), "checked_at": time_or_none(at), "findings": findings}


def shown(
    check: str,
    finding: Finding,
    at: datetime.datetime,
    *,
    since: datetime.datetime | None = None,
    with_host: bool = False,
) -> JSONDict:
    """Return a finding as clients see it; tenants do not see the host."""
    return {
        "check": check,
        "target": finding.target,
        "status": finding.health.name.lower(),
        "summary": finding.summary,
        "remedy": finding.remedy or None,
        "figures": dict(finding.figures),
        "since": time_or_none(since),
        "checked_at": at.isoformat(),
        "project_id": finding.project_id or None,
        "host": (finding.host or None) if with_host else None,
    }
