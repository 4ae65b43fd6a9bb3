"""The resources of a cloud and where they run: what the resource map of the inspector holds."""

from __future__ import annotations

import dataclasses
import datetime
import enum

from eventalarm.model.events import EPOCH


class ResourceKind(enum.StrEnum):
    """What a resource is. ``HOST_ID`` is an id by which Masakari names a host; it belongs to no project."""

    SERVER = "server"
    PORT = "port"
    VOLUME = "volume"
    HOST_ID = "host id"


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """What is known about one server, port or volume, or about one id of a host.

    ``project_id`` is its owner and ``state`` the service's own word for its state; both, ``device_id`` and
    ``deleted`` are as of ``seen_at``. ``device_id`` is the server that a port or volume belongs to. ``host``
    is where it runs, or the host with that id, or empty, as of ``host_at``; without ``host_at`` the host is
    unknown. ``server_group`` is as of ``checked_at``, the last snapshot that contained the resource. Times
    are those of the sources (aware UTC).
    """

    kind: ResourceKind
    resource_id: str
    seen_at: datetime.datetime
    project_id: str = ""
    device_id: str = ""
    state: str = ""
    deleted: bool = False
    host: str = ""
    host_at: datetime.datetime | None = None
    server_group: str = ""
    checked_at: datetime.datetime | None = None


def merge_resources(one: Resource, other: Resource) -> Resource:
    """Merge two observations of the same resource: each field has the value of the newest observation of it.

    The result does not depend on the order in which observations are merged, so that one that arrives late
    does not undo a newer one. Of two observations with the same time, the same one always prevails.
    """
    seen = max(one, other, key=_seen)
    placed = max(one, other, key=lambda each: (*_time(each.host_at), each.host))
    checked = max(one, other, key=lambda each: (*_time(each.checked_at), each.server_group))
    return dataclasses.replace(
        seen,
        host=placed.host,
        host_at=placed.host_at,
        server_group=checked.server_group,
        checked_at=checked.checked_at,
    )


def _time(moment: datetime.datetime | None) -> tuple[bool, datetime.datetime]:
    return moment is not None, moment or EPOCH


def _seen(resource: Resource) -> tuple[object, ...]:
    return (resource.seen_at, resource.deleted, resource.state, resource.project_id, resource.device_id)


@dataclasses.dataclass(frozen=True, slots=True)
class InfrastructureFault:
    """A fault of a host, hypervisor or switch, or its end: one row for each fault of one ``source``.

    ``name`` is that of the fault catalogue, ``hosts`` are the hosts whose resources are affected.
    ``fault_id`` is the message id of the event that reported the fault, ``body`` that event. ``at`` is the
    time of the newest event about it (aware UTC).
    """

    name: str
    source: str
    hosts: tuple[str, ...]
    raised: bool
    at: datetime.datetime
    fault_id: str
    body: dict[str, object] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def severity(self) -> str:
        """The severity that the report names, or an empty string."""
        traits = self.body.get("traits")
        listed = traits if isinstance(traits, list) else []
        return next((str(one[2]) for one in listed if len(one) > 2 and one[0] == "severity"), "")


@dataclasses.dataclass(frozen=True, slots=True)
class Affected:
    """A resource that a fault affects; ``published``: its owner's event is known to be on the bus."""

    resource: Resource
    published: bool


@dataclasses.dataclass(frozen=True, slots=True)
class HostMaintenance:
    """A host in a session of planned maintenance.

    ``state`` is the session's own word for the state of the host, as of ``at``, when the newest report of it
    was made. Alarms on the host and its resources are inhibited until ``ended_at``, and never after
    ``expires_at``. ``starts_at`` is when the maintenance is to begin, where a report says so. Times are aware
    UTC.
    """

    session_id: str
    host: str
    state: str
    at: datetime.datetime
    expires_at: datetime.datetime
    starts_at: datetime.datetime | None = None
    ended_at: datetime.datetime | None = None
