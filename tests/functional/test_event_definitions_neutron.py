"""The event definitions that we ship, for each resource of Neutron: every notification has an owner."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.definitions import Converter


def of_neutron(name: str, plural: str, owner: str | None) -> dict[str, Any]:
    """Return every form in which Neutron's API notifies of a resource, by event type (a bulk has a \"+\")."""
    whole = {"id": "r-1", "name": "n", "project_id": owner, "tenant_id": owner, "status": "ACTIVE"}
    # Sent by neutron-usage-audit, for these resources only.
    audited = name in {"port", "network", "subnet", "router", "floatingip"}
    return {
        **({f"{name}.exists": {name: whole}} if audited else {}),
        f"{name}.create.start": {name: {"name": "n"}},
        f"{name}.create.start+": {plural: [{"name": "n"}, {"name": "m"}]},
        f"{name}.create.end": {name: whole},
        f"{name}.create.end+": {plural: [whole, {**whole, "id": "r-2"}]},
        f"{name}.update.start": {name: {"admin_state_up": False}, "id": "r-1"},
        f"{name}.update.end": {name: whole},
        f"{name}.delete.start": {f"{name}_id": "r-1"},
        f"{name}.delete.end": {name: whole, f"{name}_id": "r-1"},
        # Sent by the hook of Neutron's API when it did not find the resource before.
        f"{name}.delete.end+": {name: {}, f"{name}_id": "r-1"},
    }


NEUTRON = {
    "port": "ports",
    "network": "networks",
    "subnet": "subnets",
    "subnetpool": "subnetpools",
    "router": "routers",
    "floatingip": "floatingips",
    "security_group": "security_groups",
    "trunk": "trunks",
    "policy": "policies",
    "security_group_rule": "security_group_rules",
    "address_group": "address_groups",
    "local_ip": "local_ips",
    "address_scope": "address_scopes",
    "rbac_policy": "rbac_policies",
    "port_forwarding": "port_forwardings",
    "ndp_proxy": "ndp_proxies",
    "log": "logs",
    "metering_label": "metering_labels",
    "vpnservice": "vpnservices",
    "firewall": "firewalls",
    "firewall_group": "firewall_groups",
    "firewall_policy": "firewall_policies",
    "firewall_rule": "firewall_rules",
    "ikepolicy": "ikepolicies",
    "ipsecpolicy": "ipsecpolicies",
    "ipsec_site_connection": "ipsec_site_connections",
    "endpoint_group": "endpoint_groups",
    "bgpvpn": "bgpvpns",
    "tap_service": "tap_services",
    "tap_flow": "tap_flows",
    "tap_mirror": "tap_mirrors",
}


@pytest.mark.parametrize("name", NEUTRON)
def test_every_neutron_notification_has_an_owner(converter: Converter, stock: Converter, name: str) -> None:
    """The owner is taken from the notification if it names one, else it is the caller."""
    for form, payload in of_neutron(name, NEUTRON[name], "owners").items():
        event_type = form.rstrip("+")
        named = "owners" in str(payload)
        found = converter.traits(event_type, payload)
        assert found["project_id"] == found["tenant_id"] == ("owners" if named else "callers"), form
        assert found["caller_project_id"] == "callers"
        assert found.get("resource_id") == (None if ".create.start" in form else "r-1"), form
        before = stock.traits(event_type, payload)
        assert {trait for trait in before if trait not in found} == set(), form


@pytest.mark.parametrize("name", NEUTRON)
def test_alarms_of_the_caller_still_fire_if_the_caller_is_the_owner(
    converter: Converter, stock: Converter, name: str
) -> None:
    for form, payload in of_neutron(name, NEUTRON[name], "callers").items():
        found, before = (one.traits(form.rstrip("+"), payload) for one in (converter, stock))
        assert found["project_id"] == found["tenant_id"] == before["tenant_id"] == "callers", form
