"""Finds the events that report a fault of a host, hypervisor or switch, or its end. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Final

from eventalarm.catalogue.faults import FanOut, Fault, FaultCatalogue
from eventalarm.model import STRING, Event, InfrastructureFault, Resource, ResourceKind
from eventalarm.owner import Owners

# Traits of an event about one resource, which affects the owner of that resource only.
RESOURCE_IDS: Final = ("instance_id", "server_id", "port_id", "volume_id")
FAULT_ID: Final = "fault_id"
HOSTNAME: Final = "hostname"

SOURCES: Final[Mapping[FanOut, tuple[str, ...]]] = {
    FanOut.HOST: ("hostname", "host", "resource_id"),
    FanOut.HYPERVISOR: ("hostname", "host", "resource_id"),
    FanOut.SWITCH: ("switch", "resource_id"),
}


class ReportReader:
    """Reads reports of faults that affect several owners from events, by the fault catalogue.

    :param switches: the hosts behind each switch; an event may name them in its trait ``hosts`` instead.
    """

    def __init__(
        self, catalogue: FaultCatalogue, owners: Owners, switches: Mapping[str, Sequence[str]]
    ) -> None:
        self._catalogue = catalogue
        self._owners = owners
        self._switches = switches

    def is_unowned(self, event: Event) -> bool:
        """Return True if an event has no owner and is not one that the inspector published."""
        return not event.first_trait((FAULT_ID,)) and not self._owners.of(event)

    def read(self, event: Event, received: datetime.datetime) -> list[InfrastructureFault]:
        """Return the faults that an event without an owner reports or ends; often none.

        :param received: when the event was received (aware UTC); a later time of the event is ignored.
        """
        if event.first_trait(RESOURCE_IDS):
            return []
        traits = traits_of(event)
        cleared = self._catalogue.find_cleared(event.event_type, traits)
        found = cleared or tuple(filter(None, [self._catalogue.find(event.event_type, traits)]))
        reports = (self._report(one, event, event.time(received), not cleared) for one in found)
        return [one for one in reports if one is not None]

    def _report(
        self, fault: Fault, event: Event, at: datetime.datetime, raised: bool
    ) -> InfrastructureFault | None:
        source = event.first_trait(SOURCES.get(fault.fan_out, ()))
        if not source:
            return None
        hosts = (source,) if fault.fan_out is not FanOut.SWITCH else self._hosts_behind(source, event)
        return InfrastructureFault(fault.name, source, hosts, raised, at, event.message_id, event.body)

    def _hosts_behind(self, switch: str, event: Event) -> tuple[str, ...]:
        named = event.first_trait(("hosts",)).replace(",", " ").split()
        return tuple(named or self._switches.get(switch, ()))


def with_host_name(event: Event, known: Mapping[str, Resource]) -> Event:
    """Return an event about a host that it names by an id, with the host's name in the trait ``hostname``.

    Masakari names hosts in this way. Any other event is returned as it is.

    :param known: what the resource map says of the resources that events are about, by id.
    """
    named = known.get(event.first_trait(("resource_id",)))
    if named is None or named.kind is not ResourceKind.HOST_ID or event.first_trait((HOSTNAME,)):
        return event
    traits = [one for one in event.body.get("traits") or () if not one or one[0] != HOSTNAME]
    return Event({**event.body, "traits": [*traits, [HOSTNAME, STRING, named.host]]})


def traits_of(event: Event) -> dict[str, Any]:
    """Return the traits of an event by name."""
    names = {str(one[0]) for one in event.body.get("traits") or () if isinstance(one, list | tuple) and one}
    found = {name: event.trait(name) for name in names}
    return {name: value for name, value in found.items() if value is not None}
