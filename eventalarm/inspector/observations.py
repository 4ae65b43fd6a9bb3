"""Reads from events of Nova, Neutron and Cinder which resources exist, and where they run. Pure."""

from __future__ import annotations

import datetime
from typing import Final

from eventalarm.model import Event, Resource, ResourceKind
from eventalarm.owner import Owners

SERVER_EVENTS: Final = "compute.instance."
PORT_EVENTS: Final = "port."
VOLUME_EVENTS: Final = "volume."

# The source of a live migration sends these from an outdated copy of the server: they name the old host after
# the destination has named the new one.
STALE_HOST: Final = "compute.instance.live_migration._post."
# Such an event describes a request, which may still fail, and not the present state.
REQUEST: Final = ".start"
# Nova's words for a server that is not on any host.
NOWHERE: Final = frozenset({"shelved_offloaded"})
GONE: Final = frozenset({"deleted", "soft_deleted_expired"})


def observe(event: Event, owners: Owners, received: datetime.datetime) -> Resource | None:
    """Return the observation of a server, port or volume that an event contains, or None.

    Reads the traits of eventalarm's event definitions. Ceilometer's own lack ``compute_host``: with them the
    host of a server is known from snapshots only.

    :param received: when the event was received (aware UTC); a later time of the event is ignored.
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
    # A tenant may not see the binding of its port, so its absence means nothing.
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
