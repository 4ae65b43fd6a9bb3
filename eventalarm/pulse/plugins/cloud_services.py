"""Checks ``nova_services``, ``cinder_services`` and ``neutron_agents``: one list each, for operators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from eventalarm.pulse.checks import CheckContext, Probe
from eventalarm.pulse.finding import Finding, Health
from eventalarm.pulse.plugins import service_lists
from eventalarm.pulse.plugins.answers import Failure, failure, refusal, unreadable
from eventalarm.pulse.plugins.web import cloud_get

Evaluate = Callable[[Mapping[str, Any]], Finding]


class _ListCheck:
    """Requests a list of services by openstacksdk and evaluates each entry.

    :cvar proxy: the attribute of openstacksdk's connection.
    """

    for_tenants: ClassVar[bool] = False
    proxy: ClassVar[str]
    path: ClassVar[str]
    key: ClassVar[str]
    microversion: ClassVar[str | None] = None
    evaluate: Evaluate

    def __init__(self, context: CheckContext) -> None:
        self._context = context

    def probes(self) -> Iterable[Probe]:
        """Return the one look."""
        return [Probe(self.key_target, self._look)]

    @property
    def key_target(self) -> str:
        """The target of the list itself."""
        return f"list of {self.proxy} {self.key}"

    def _look(self) -> list[Finding]:
        target, place = self.key_target, f"{self.proxy} {self.path}"
        more = {"microversion": self.microversion} if self.microversion else {}
        found = cloud_get(
            lambda: getattr(self._context.connect(), self.proxy), self.path, self._context.timeout, **more
        )
        if isinstance(found, Failure):
            return [failure(target, place, found)]
        if found.status != 200:
            return [refusal(target, place, found)]
        try:
            services = service_lists.of_all(found.text, self.key, self.evaluate)
        except service_lists.Unreadable as exc:
            return [unreadable(target, place, str(exc))]
        return [_of_list(target, services, found.seconds), *services]


def _of_list(target: str, services: list[Finding], seconds: float) -> Finding:
    up = sum(one.figures["up"] for one in services)
    return Finding(
        target=target,
        health=Health.OK,
        summary=f"{int(up)} of {len(services)} are up",
        figures={"seconds": round(seconds, 3), "up": up, "total": len(services)},
    )


class NovaServices(_ListCheck):
    """``GET /os-services`` of Nova."""

    description: ClassVar[str] = "Nova's services are up and none is forced down"
    proxy, path, key = "compute", "/os-services", "services"
    microversion = "2.11"
    evaluate = staticmethod(service_lists.nova_service)


class CinderServices(_ListCheck):
    """``GET /os-services`` of Cinder."""

    description: ClassVar[str] = "Cinder's services are up and reach their storage"
    proxy, path, key = "block_storage", "/os-services", "services"
    microversion = "3.49"
    evaluate = staticmethod(service_lists.cinder_service)


class NeutronAgents(_ListCheck):
    """``GET /v2.0/agents`` of Neutron."""

    description: ClassVar[str] = "Neutron's agents are up"
    proxy, path, key = "network", "/agents", "agents"
    evaluate = staticmethod(service_lists.neutron_agent)
