"""Reads from events of Nova, Neutron and Cinder which resources exist, and where they run. Pure.

From those of Masakari, by which ids it names hosts.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Final

from eventalarm.model import Event, Resource, ResourceKind
from eventalarm.owner import Owners

SERVER_EVENTS: Final = "compute.instance."

# The source of a live migration sends these from an outdated copy of the server: they name the old host after
# the destination has named the new one.
STALE_HOST: Final = "compute.instance.live_migration._post."
# Such an event describes a request, which may still fail, and not the present state.
REQUEST: Final = ".start"
# Nova's words for a server that is not on any host.
NOWHERE: Final = frozenset({"shelved_offloaded"})
GONE: Final = frozenset({"deleted", "soft_deleted_expired"})
# Masakari, about a host that it watches.
HOST_EVENTS: Final = frozenset({"host.create.end", "host.update.end", "host.delete.end"})
HOST_DELETED: Final = "host.delete.end"


@dataclasses.dataclass(frozen=True, slots=True)
class Attached:
    """How events describe a kind of resource that belongs to a server."""

    kind: ResourceKind
    events: str
    deleted: str
    id_trait: str
    device_trait: str


ATTACHED: Final = (
    Attached(ResourceKind.PORT, "port.", "port.delete.end", "port_id", "device_id"),
    Attached(ResourceKind.VOLUME, "volume.", "volume.delete.end", "volume_id", "instance_id"),
)


def observe(event: Event, owners: Owners, received: datetime.datetime) -> Resource | None:
    """Return the observation of a server, port, volume or id of a host that an event contains, or None.

    Reads the traits of eventalarm's event definitions. Ceilometer's own lack ``compute_host``: with them the
    host of a server is known from snapshots only.

    :param received: when the event was received (aware UTC); a later time of the event is ignored.
    """
    kind = event.event_type
    if kind.startswith(SERVER_EVENTS):
        return _server(event, owners, event.time(received))
    if kind in HOST_EVENTS:
        return _host_id(event, event.time(received))
    form = next((one for one in ATTACHED if kind.startswith(one.events)), None)
    if form is None or kind.endswith(REQUEST):
        return None
    return _attached(event, owners, event.time(received), form)


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


def _host_id(event: Event, at: datetime.datetime) -> Resource | None:
    host_id, name = event.first_trait(("resource_id",)), event.first_trait(("name",))
    if not host_id or not name:
        return None
    deleted = event.event_type == HOST_DELETED
    return Resource(ResourceKind.HOST_ID, host_id, at, deleted=deleted, host=name, host_at=at)


def _attached(event: Event, owners: Owners, at: datetime.datetime, form: Attached) -> Resource | None:
    resource_id = event.first_trait((form.id_trait, "resource_id"))
    deleted = event.event_type == form.deleted
    project_id = owners.of(event)
    if not resource_id or not (project_id or deleted):
        return None
    # A tenant may not see the binding of its port, so its absence means nothing; volumes have none.
    host = event.first_trait(("host",)) if form.kind is ResourceKind.PORT else ""
    return Resource(
        form.kind,
        resource_id,
        at,
        project_id=project_id,
        device_id=event.first_trait((form.device_trait,)),
        state=event.first_trait(("status",)),
        deleted=deleted,
        host=host,
        host_at=at if host else None,
    )
