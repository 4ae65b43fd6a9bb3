"""Services of Nova and Cinder and agents of Neutron."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventalarm.pulse.finding import Health
from eventalarm.pulse.plugins.service_lists import (
    Unreadable,
    cinder_service,
    neutron_agent,
    nova_service,
    of_all,
)


def nova(**changes: Any) -> dict[str, Any]:
    enabled = {"status": "enabled", "state": "up", "forced_down": False, "disabled_reason": None}
    return {"id": "s1", "binary": "nova-compute", "host": "compute-1", **enabled, **changes}


@pytest.mark.parametrize(
    ("changes", "health", "text"),
    [
        ({}, Health.OK, "is up"),
        ({"state": "down"}, Health.CRITICAL, "is down"),
        ({"state": "down", "status": "disabled", "disabled_reason": "new disks"}, Health.OK, "(new disks)"),
        ({"state": "down", "status": "disabled"}, Health.OK, "(disabled)"),
        ({"state": "down", "forced_down": True}, Health.CRITICAL, "forced down"),
        ({"state": "down", "forced_down": True, "status": "disabled"}, Health.CRITICAL, "forced down"),
    ],
)
def test_nova(changes: dict[str, Any], health: Health, text: str) -> None:
    found = nova_service(nova(**changes))
    assert (found.health, found.target, found.host) == (health, "nova-compute on compute-1", "compute-1")
    assert text in found.summary
    assert bool(found.remedy) == found.failed


@pytest.mark.parametrize(
    ("changes", "health", "text"),
    [
        ({}, Health.OK, "is up"),
        ({"state": "down"}, Health.CRITICAL, "cinder-manage service remove cinder-volume control@lvm"),
        ({"backend_state": "down"}, Health.CRITICAL, "check the storage"),
        ({"backend_state": "down", "status": "disabled"}, Health.OK, "disabled"),
    ],
)
def test_cinder(changes: dict[str, Any], health: Health, text: str) -> None:
    service = {
        "binary": "cinder-volume",
        "host": "control@lvm",
        "status": "enabled",
        "state": "up",
        **changes,
    }
    found = cinder_service(service)
    assert (found.health, found.host) == (health, "control")
    assert text in found.summary + found.remedy


@pytest.mark.parametrize(
    ("up", "enabled", "health"),
    [
        (True, True, Health.OK),
        (False, True, Health.CRITICAL),
        (False, False, Health.OK),
        (True, False, Health.OK),
    ],
)
def test_neutron(up: bool, enabled: bool, health: Health) -> None:
    agent = {"id": "a1", "agent_type": "L3 agent", "binary": "neutron-l3-agent", "host": "net-1"}
    found = neutron_agent(agent | {"alive": up, "admin_state_up": enabled})
    assert (found.health, found.target) == (health, "neutron-l3-agent on net-1")


def test_of_two_services_of_one_name_the_worse_counts() -> None:
    text = json.dumps({"services": [nova(state="down"), nova(), nova(host="compute-2")]})
    found = of_all(text, "services", nova_service)
    assert {one.host: one.health for one in found} == {
        "compute-1": Health.CRITICAL,
        "compute-2": Health.OK,
    }


@pytest.mark.parametrize("text", ["", "[]", '{"services": {}}', '{"services": [1]}', '{"services": [{}]}'])
def test_another_form_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable, match="services"):
        of_all(text, "services", nova_service)
