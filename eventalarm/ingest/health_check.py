"""``/v1/health/checks/{name}``: runs one health check of the cloud with the caller's own token."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.util
import json
from collections.abc import Iterable
from typing import Any, Final

import falcon
from oslo_config import cfg

from eventalarm.conf import INGEST_GROUP, PULSE_GROUP
from eventalarm.http.auth import KEYSTONE, Guard, caller_of
from eventalarm.ingest import ingest_policies
from eventalarm.ingest.cloud_health import NO_PROJECT, document, shown
from eventalarm.ingest.health_runs import Busy, Crowded, Result, Runs, TooSlow
from eventalarm.model import UTC
from eventalarm.model.findings import Finding

# Seconds in which the catalogue is read, beyond the timeout of the requests to the services.
BEFORE: Final = 2.0
RETRY_AFTER: Final = 5
WITHOUT_KEYSTONE: Final = (
    "this service runs no health checks, since it does not verify tokens: its operator must set "
    f"[{INGEST_GROUP}] auth_mode to keystone, and [keystone_authtoken] www_authenticate_uri"
)
NOT_INSTALLED: Final = (
    "this service runs no health checks: its operator must run pip install 'eventalarm[pulse]' and restart it"
)


class HealthCheckRun:
    """The resource that runs a check.

    :param conf: the configuration; the options of keystonemiddleware are registered after this is made.
    """

    def __init__(self, guard: Guard, conf: cfg.ConfigOpts) -> None:
        group = conf[PULSE_GROUP]
        self._guard = guard
        self._conf = conf
        at_once = max(1, conf[INGEST_GROUP].threads // 2)
        self._runs = Runs(at_once, group.timeout + BEFORE, self._interval)

    def on_post(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Run the check and return what it found."""
        caller = caller_of(req)
        self._guard.require(caller, ingest_policies.HEALTH_CHECK)
        if not caller.project_id:
            raise falcon.HTTPForbidden(description=NO_PROJECT)
        uri = self._keystone()
        self._require_check(name)
        token = req.get_header("X-Auth-Token") or ""
        found, kept = self._run(caller.project_id, name, uri, token)
        findings = [shown(name, one, found.at) for one in found.findings]
        body = document((one.health for one in found.findings), findings, found.at)
        resp.text = json.dumps(body | {"cached": kept})
        resp.set_header("Cache-Control", "no-store")

    def _interval(self, name: str) -> float:
        group = self._conf[PULSE_GROUP]
        try:
            return float(group.intervals.get(name, group.interval))
        except ValueError:
            return float(group.interval)

    def _keystone(self) -> str:
        """Return the address of Keystone.

        :raises falcon.HTTPNotFound: when this service cannot run checks.
        """
        uri = ""
        if self._conf[INGEST_GROUP].auth_mode == KEYSTONE:
            uri = str(getattr(self._conf.keystone_authtoken, "www_authenticate_uri", "") or "")
        if not uri:
            raise falcon.HTTPNotFound(description=WITHOUT_KEYSTONE)
        if importlib.util.find_spec("openstack") is None:
            raise falcon.HTTPNotFound(description=NOT_INSTALLED)
        return uri

    def _require_check(self, name: str) -> None:
        from eventalarm.pulse import installed  # noqa: PLC0415 - loads the checks

        known = [one.name for one in installed.installed() if one.for_tenants]
        if name not in known:
            choice = f"use {' or '.join(known)}" if known else "none is installed"
            raise falcon.HTTPNotFound(description=f"no health check {name[:64]!r} for tenants; {choice}")

    def _run(self, project_id: str, name: str, uri: str, token: str) -> tuple[Result, bool]:
        def work() -> Result:
            return run_check(self._conf, name, TokenOf(project_id, uri, token))

        try:
            return self._runs.run(project_id, name, work)
        except Busy as exc:
            description = f"{exc}; wait for its result"
            raise falcon.HTTPTooManyRequests(description=description, retry_after=RETRY_AFTER) from exc
        except Crowded as exc:
            description = f"{exc}; try again later"
            raise falcon.HTTPServiceUnavailable(description=description, retry_after=RETRY_AFTER) from exc
        except TooSlow as exc:
            raise falcon.HTTPGatewayTimeout(
                description=f"{exc}: several services of the cloud, or Keystone, do not answer"
            ) from exc


@dataclasses.dataclass(frozen=True, slots=True)
class TokenOf:
    """The token of a member of a project, and the address of Keystone."""

    project_id: str
    auth_url: str
    token: str = dataclasses.field(repr=False)


def run_check(conf: cfg.ConfigOpts, name: str, caller: TokenOf) -> Result:
    """Run a check once with the caller's token."""
    from eventalarm.pulse import installed  # noqa: PLC0415 - only where a check is run
    from eventalarm.pulse.checks import CheckContext  # noqa: PLC0415
    from eventalarm.pulse.own_token import connector  # noqa: PLC0415
    from eventalarm.pulse.runner import Runner  # noqa: PLC0415

    group = conf[PULSE_GROUP]
    connect = connector(caller.auth_url, caller.token, group.timeout, _verify(conf.keystone_authtoken))
    context = CheckContext(group, connect, group.timeout, caller.project_id)
    found = Runner(group.workers, group.timeout).run(name, installed.make([name], context)[name])
    return Result(tuple(for_tenant(found.findings, caller.project_id)), datetime.datetime.now(UTC))


def _verify(keystone: Any) -> bool | str:
    if keystone.insecure:
        return False
    return str(keystone.cafile) if keystone.cafile else True


def for_tenant(findings: Iterable[Finding], project_id: str) -> Iterable[Finding]:
    """Yield what a tenant may read: what the check says of their project.

    What the runner adds about a look that failed has no project, and its remedy is for operators.
    """
    from eventalarm.pulse.plugins.answers import TENANT_REMEDY  # noqa: PLC0415 - only where a check is run

    for one in findings:
        if one.project_id == project_id:
            yield dataclasses.replace(one, host="")
        elif not one.project_id:
            summary = one.summary.partition(";")[0]
            yield dataclasses.replace(
                one, project_id=project_id, summary=summary, remedy=TENANT_REMEDY, host=""
            )
