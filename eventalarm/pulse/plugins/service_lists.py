"""What the services of Nova and Cinder and the agents of Neutron report about themselves. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from eventalarm.pulse.finding import Finding, Health
from eventalarm.pulse.plugins.answers import shortened

START: Final = "start {what} on {host} and see its log there; if it was removed: {delete}"


class Unreadable(ValueError):
    """The answer has not the form of the API."""


def entries(text: str, key: str) -> list[dict[str, Any]]:
    """Return the list *key* of a JSON object.

    :raises Unreadable: if there is none.
    """
    try:
        listed = json.loads(text)[key]
        if isinstance(listed, list) and all(isinstance(one, dict) for one in listed):
            return listed
    except (ValueError, KeyError, TypeError):
        pass
    raise Unreadable(f"no JSON with a list {key!r}")


def nova_service(service: Mapping[str, Any]) -> Finding:
    """Evaluate an entry of ``GET /os-services`` of Nova (microversion 2.11 or later)."""
    what, host = str(service["binary"]), str(service["host"])
    one = _One(what, host, host, service["state"] == "up", _disabled(service))
    if service.get("forced_down"):
        return one.critical(
            "is forced down, so that its servers can be evacuated",
            f"repair the host, then: openstack compute service set --up {host} {what}",
        )
    return one.by_state(f"openstack compute service delete {service.get('id', 'ID')}")


def cinder_service(service: Mapping[str, Any]) -> Finding:
    """Evaluate an entry of ``GET /os-services`` of Cinder; its host is ``HOST@BACKEND`` for volumes."""
    what, place = str(service["binary"]), str(service["host"])
    host = place.partition("@")[0]
    one = _One(what, place, host, service["state"] == "up", _disabled(service))
    if one.up and not one.disabled and service.get("backend_state") == "down":
        return one.critical(
            "runs, but does not reach its storage", f"check the storage, and the log of {what} on {host}"
        )
    return one.by_state(f"cinder-manage service remove {what} {place}")


def neutron_agent(agent: Mapping[str, Any]) -> Finding:
    """Evaluate an entry of ``GET /v2.0/agents`` of Neutron."""
    what, host = str(agent.get("binary") or agent["agent_type"]), str(agent["host"])
    disabled = "" if agent.get("admin_state_up", True) else "admin state down"
    one = _One(what, host, host, bool(agent["alive"]), disabled)
    return one.by_state(f"openstack network agent delete {agent.get('id', 'ID')}")


def _disabled(service: Mapping[str, Any]) -> str:
    """Return why a service is disabled; empty if it is not."""
    if service.get("status") != "disabled":
        return ""
    return str(service.get("disabled_reason") or "disabled")


@dataclasses.dataclass(frozen=True, slots=True)
class _One:
    """A service at a *place* of a host; *disabled* is why it is, or empty."""

    what: str
    place: str
    host: str
    up: bool
    disabled: str

    def critical(self, problem: str, remedy: str) -> Finding:
        target = f"{self.what} on {self.place}"
        return Finding(
            target=target,
            health=Health.CRITICAL,
            summary=f"{target} {problem}",
            remedy=remedy,
            figures={"up": float(self.up)},
            host=self.host,
        )

    def by_state(self, delete: str) -> Finding:
        """Return a fault if it is down though it is enabled; *delete* is for one that was removed."""
        if not self.up and not self.disabled:
            return self.critical(
                "is down: it has not reported for longer than its service accepts",
                START.format(what=self.what, host=self.host, delete=delete),
            )
        target = f"{self.what} on {self.place}"
        state = "up" if self.up else "down"
        reason = f", disabled ({shortened(self.disabled)})" if self.disabled else ""
        return Finding(
            target=target,
            health=Health.OK,
            summary=f"{target} is {state}{reason}",
            figures={"up": float(self.up)},
            host=self.host,
        )


def of_all(text: str, key: str, evaluate: Callable[[Mapping[str, Any]], Finding]) -> list[Finding]:
    """Evaluate each entry of the list *key* of an answer; targets are unique.

    :raises Unreadable: if the answer has another form.
    """
    try:
        found = [evaluate(one) for one in entries(text, key)]
    except KeyError as exc:
        raise Unreadable(f"an entry of {key!r} without {exc}") from exc
    # Two of one name, such as agents of one kind: the worse one counts.
    found.sort(key=lambda one: one.health)
    return list({one.target: one for one in found}.values())
