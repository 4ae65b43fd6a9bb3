"""Check ``endpoint``: every service of the catalogue answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from eventalarm.exceptions import EventAlarmError
from eventalarm.pulse.checks import CheckContext, Probe
from eventalarm.pulse.finding import Finding, Health
from eventalarm.pulse.plugins.answers import (
    TENANT_REMEDY,
    Answer,
    Failure,
    failure,
    refusal,
    shortened,
    shown_url,
)
from eventalarm.pulse.plugins.service_urls import ServiceUrl, service_urls
from eventalarm.pulse.plugins.web import Web


class NoCatalogue(EventAlarmError):
    """Keystone gives no token, or no catalogue with it."""


class Endpoint:
    """One GET to each endpoint in the catalogue of the token."""

    description: ClassVar[str] = "every service of the catalogue answers a small request with a token"
    for_tenants: ClassVar[bool] = True

    def __init__(self, context: CheckContext) -> None:
        self._context = context

    def probes(self) -> Iterable[Probe]:
        """Return one probe for each URL.

        :raises NoCatalogue: when Keystone does not give a token.
        """
        options = self._context.options
        session = self._context.connect().session
        catalogue, token = _access(session)
        urls = service_urls(
            catalogue,
            interfaces=options.endpoint_interfaces,
            regions=options.endpoint_regions,
            exclude=options.endpoint_exclude,
            tenant=bool(self._context.project_id),
        )
        web = Web(session.verify, session.cert)
        return [Probe(one.target, partial(self._look, web, one, token, session.auth)) for one in urls]

    def _look(self, web: Web, one: ServiceUrl, token: str, auth: Any) -> list[Finding]:
        headers = {"Accept": "application/json"} | ({"X-Auth-Token": token} if one.known else {})
        found = web.get(one.url, self._context.timeout, headers)
        if isinstance(found, Answer) and found.status == 401:
            # The next round takes a new token: this one may have been revoked.
            auth.invalidate()
        return [evaluate(one, found, slow=self._context.options.slow, project_id=self._context.project_id)]


def _access(session: Any) -> tuple[list[Any], str]:
    try:
        access = session.auth.get_access(session)
        catalogue, token = access.service_catalog.catalog, access.auth_token
    except Exception as exc:
        raise NoCatalogue(
            f"Keystone gives no token with a catalogue: {shortened(str(exc)) or type(exc).__name__}; check "
            "that it runs, and [service_credentials] or the cloud in clouds.yaml"
        ) from exc
    return catalogue, token


def evaluate(one: ServiceUrl, found: Answer | Failure, *, slow: float, project_id: str = "") -> Finding:
    """Return what the answer of a service means; to a tenant another remedy is given than to operators."""
    finding = _evaluate(one, found, slow)
    if project_id:
        finding = dataclasses.replace(
            finding, project_id=project_id, remedy=TENANT_REMEDY if finding.remedy else ""
        )
        if isinstance(found, Answer) and found.status == 403:
            # Roles of a tenant are no fault.
            return dataclasses.replace(
                finding, health=Health.UNKNOWN, remedy="ask for the role, if you need it"
            )
    return finding


def _evaluate(one: ServiceUrl, found: Answer | Failure, slow: float) -> Finding:
    if isinstance(found, Failure):
        return failure(one.target, one.url, found)
    fine = 200 <= found.status <= 300 if one.known else found.status < 500
    if not fine:
        return refusal(one.target, one.url, found)
    return timed(one.target, one.url, found, slow)


def timed(target: str, url: str, found: Answer, slow: float) -> Finding:
    """Return the finding of a good answer: a warning if it took longer than *slow* seconds."""
    late = 0 < slow < found.seconds
    return Finding(
        target=target,
        health=Health.WARNING if late else Health.OK,
        summary=f"{shown_url(url)} answered {found.status} after {found.seconds:.2f} s",
        remedy=(
            "check the load of the service and of its database; if it always takes this long, raise "
            "[eventalarm_pulse] slow"
        )
        if late
        else "",
        figures={"seconds": round(found.seconds, 3), "http_status": found.status},
    )
