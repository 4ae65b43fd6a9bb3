"""What events say about servers, ports and volumes: by table."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from eventalarm.inspector.observations import observe
from eventalarm.model import UTC, Event, Resource, ResourceKind
from eventalarm.owner import Owners

RECEIVED = datetime.datetime(2026, 11, 27, 10, tzinfo=UTC)
AT = datetime.datetime(2026, 11, 27, 9, tzinfo=UTC)
OWNERS = Owners(["project_id", "tenant_id", "caller_project_id"])
SERVER, PORT, VOLUME = ResourceKind.SERVER, ResourceKind.PORT, ResourceKind.VOLUME


def event(event_type: str, **traits: Any) -> Event:
    listed = [[name, 1, value] for name, value in traits.items()]
    return Event.parse(
        {"message_id": "m", "event_type": event_type, "generated": "2026-11-27T09:00:00", "traits": listed}
    )


def seen(event_type: str, **traits: Any) -> Resource | None:
    return observe(event(event_type, **traits), OWNERS, RECEIVED)


VM = {"instance_id": "vm-1", "resource_id": "vm-1", "tenant_id": "p", "project_id": "p"}


@pytest.mark.parametrize(
    ("event_type", "traits", "host", "known", "deleted"),
    [
        ("compute.instance.create.end", {"compute_host": "c0", "state": "active"}, "c0", True, False),
        ("compute.instance.update", {"compute_host": "c1", "state": "active"}, "c1", True, False),
        ("compute.instance.live_migration.post.dest.end", {"compute_host": "c1"}, "c1", True, False),
        # From a copy of the server that the source of the migration does not refresh.
        ("compute.instance.live_migration._post.end", {"compute_host": "c0"}, "", False, False),
        ("compute.instance.rebuild.end", {"compute_host": "c2", "state": "active"}, "c2", True, False),
        ("compute.instance.finish_resize.end", {"compute_host": "c2"}, "c2", True, False),
        ("compute.instance.update", {"state": "building"}, "", False, False),
        # Ceilometer's own definitions: "host" is where the notification comes from.
        ("compute.instance.update", {"state": "active", "host": "api-1"}, "", False, False),
        ("compute.instance.shelve_offload.end", {"state": "shelved_offloaded"}, "", True, False),
        ("compute.instance.delete.end", {"compute_host": "c0", "state": "deleted"}, "c0", True, True),
        ("compute.instance.update", {"compute_host": "c0", "state": "deleted"}, "c0", True, True),
    ],
)
def test_servers(event_type: str, traits: dict[str, str], host: str, known: bool, deleted: bool) -> None:
    found = seen(event_type, **VM, **traits)
    assert found is not None
    assert (found.kind, found.resource_id, found.project_id) == (SERVER, "vm-1", "p")
    assert (found.host, found.host_at, found.deleted) == (host, AT if known else None, deleted)
    assert found.seen_at == AT


@pytest.mark.parametrize(
    ("event_type", "traits", "expected"),
    [
        (
            "port.update.end",
            {"port_id": "p-1", "project_id": "p", "device_id": "vm-1", "host": "c0", "status": "ACTIVE"},
            Resource(PORT, "p-1", AT, "p", "vm-1", "ACTIVE", host="c0", host_at=AT),
        ),
        # A tenant's request: Neutron does not show it the binding.
        ("port.update.end", {"port_id": "p-1", "project_id": "p"}, Resource(PORT, "p-1", AT, "p")),
        ("port.update.start", {"port_id": "p-1", "project_id": "p", "host": "c0"}, None),
        ("port.delete.end", {"port_id": "p-1"}, Resource(PORT, "p-1", AT, deleted=True)),
        ("port.create.end", {"port_id": "p-1"}, None),
        (
            "volume.attach.end",
            {"resource_id": "v-1", "project_id": "p", "instance_id": "vm-1", "status": "in-use"},
            Resource(VOLUME, "v-1", AT, "p", "vm-1", "in-use"),
        ),
        (
            "volume.detach.end",
            {"resource_id": "v-1", "project_id": "p", "status": "available"},
            Resource(VOLUME, "v-1", AT, "p", "", "available"),
        ),
        ("compute.instance.update", {"instance_id": "vm-1", "state": "active"}, None),
        ("compute.host.down", {"host": "c0"}, None),
        # Masakari: its id of a host, and the name of the host.
        (
            "host.update.end",
            {"resource_id": "h-1", "name": "c0"},
            Resource(ResourceKind.HOST_ID, "h-1", AT, host="c0", host_at=AT),
        ),
        (
            "host.delete.end",
            {"resource_id": "h-1", "name": "c0"},
            Resource(ResourceKind.HOST_ID, "h-1", AT, deleted=True, host="c0", host_at=AT),
        ),
        ("host.update.start", {"resource_id": "h-1", "name": "c0"}, None),
        ("host.update.end", {"resource_id": "h-1"}, None),
        ("segment.update.end", {"resource_id": "s-1", "name": "row"}, None),
    ],
)
def test_ports_volumes_and_others(event_type: str, traits: dict[str, str], expected: Resource | None) -> None:
    assert seen(event_type, **traits) == expected


def test_a_time_in_the_future_is_not_believed() -> None:
    """Fails without the limit: a host whose clock is ahead would outvote all others."""
    early = datetime.datetime(2026, 11, 27, 8, tzinfo=UTC)
    found = observe(event("compute.instance.update", **VM, compute_host="c0"), OWNERS, early)
    assert found is not None
    assert found.host_at == early
