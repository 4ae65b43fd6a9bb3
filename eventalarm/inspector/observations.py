"""What events of Nova, Neutron and Cinder say about resources and where they run. Pure."""

from __future__ import annotations

import datetime
from typing import Final

from eventalarm.model import Event, Resource, ResourceKind
from eventalarm.owner import Owners

SERVER_EVENTS: Final = "compute.instance."
PORT_EVENTS: Final = "port."
VOLUME_EVENTS: Final = "volume."

# Sent by the source of a live migration from a copy of the server that it does not refresh: they name the old
# host after the destination has named the new one.
STALE_HOST: Final = "compute.instance.live_migration._post."
# A request that may still fail, and says what is asked for, not what is.
REQUEST: Final = ".start"
# Nova's words for a server that is not on any host.
NOWHERE: Final = frozenset({"shelved_offloaded"})
GONE: Final = frozenset({"deleted", "soft_deleted_expired"})


def observe(event: Event, owners: Owners, received: datetime.datetime) -> Resource | None:
    """Return what an event says about a server, port or volume, or None if it says nothing.

    Reads the traits of eventalarm's event definitions. Ceilometer's own lack ``compute_host``: with them the
    host of a server is known from snapshots only.

    :param received: when the event was received (aware UTC); a later time of the event is not believed.
    """
    kind = event.event_type
    if kind.startswith(SERVER_EVENTS):
        return _server(event, owners, event.time(received))
    if kind.startswith(PORT_EVENTS) and not kind.endswith(REQUEST):
        return _port(event, owners, event.time(received))
    if kind.startswith(VOLUME_EVENTS) and not kind.endswith(REQUEST):
        return _volume(event, owners, event.time(received))
    return None


def _server(event: Event, owners: Owners, at: datetime.datetime) -> Resource | None:
    server_id = event.first_trait(("instance_id", "resource_id"))
    state = event.first_trait(("state",))
    deleted = event.event_type == "compute.instance.delete.end" or state in GONE
    project_id = owners.of(event)
    if not server_id or not (project_id or deleted):
        return None
    host = event.first_trait(("compute_host",))
    known = bool(host) or state in NOWHERE
    if event.event_type.startswith(STALE_HOST):
        host, known = "", False
    return Resource(
        ResourceKind.SERVER,
        server_id,
        at,
        project_id=project_id,
        state=state,
        deleted=deleted,
        host=host,
        host_at=at if known else None,
    )


def _port(event: Event, owners: Owners, at: datetime.datetime) -> Resource | None:
    port_id = event.first_trait(("port_id", "resource_id"))
    deleted = event.event_type == "port.delete.end"
    project_id = owners.of(event)
    if not port_id or not (project_id or deleted):
        return None
    # A tenant may not see the binding of its port: its absence says nothing.
    host = event.first_trait(("host",))
    return Resource(
        ResourceKind.PORT,
        port_id,
        at,
        project_id=project_id,
        device_id=event.first_trait(("device_id",)),
        state=event.first_trait(("status",)),
        deleted=deleted,
        host=host,
        host_at=at if host else None,
    )


def _volume(event: Event, owners: Owners, at: datetime.datetime) -> Resource | None:
    volume_id = event.first_trait(("volume_id", "resource_id"))
    deleted = event.event_type == "volume.delete.end"
    project_id = owners.of(event)
    if not volume_id or not (project_id or deleted):
        return None
    return Resource(
        ResourceKind.VOLUME,
        volume_id,
        at,
        project_id=project_id,
        device_id=event.first_trait(("instance_id",)),
        state=event.first_trait(("status",)),
        deleted=deleted,
    )
