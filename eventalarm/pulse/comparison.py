"""What an upgrade broke: compares the inventory before with what there is now. Pure."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Final

from eventalarm.pulse.finding import Finding, Health, worst
from eventalarm.pulse.inventory import SERVICE_TYPES, Item, Kind

# The states in which a resource does its work. A kind that is not here has none that matter.
OPERATIONAL: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.SERVER: frozenset({"ACTIVE"}),
    Kind.VOLUME: frozenset({"AVAILABLE", "IN-USE", "RESERVED"}),
    Kind.NETWORK: frozenset({"ACTIVE"}),
    Kind.ROUTER: frozenset({"ACTIVE"}),
    Kind.PORT: frozenset({"ACTIVE"}),
    Kind.FLOATING_IP: frozenset({"ACTIVE"}),
    Kind.LOAD_BALANCER: frozenset({"ACTIVE/ONLINE", "ACTIVE/NO_MONITOR", "ACTIVE/DRAINING"}),
    Kind.ALARM: frozenset({"ENABLED"}),
}
# States that an owner may have asked for meanwhile, or that pass: no proof of a fault.
REQUESTED: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.SERVER: frozenset(
        {
            "SHUTOFF",
            "PAUSED",
            "SUSPENDED",
            "SHELVED",
            "SHELVED_OFFLOADED",
            "SOFT_DELETED",
            "RESCUE",
            "PASSWORD",
            "REBOOT",
            "HARD_REBOOT",
            "REBUILD",
            "RESIZE",
            "VERIFY_RESIZE",
            "REVERT_RESIZE",
            "MIGRATING",
        }
    ),
    Kind.VOLUME: frozenset(
        {
            "CREATING",
            "ATTACHING",
            "DETACHING",
            "MAINTENANCE",
            "DOWNLOADING",
            "UPLOADING",
            "RETYPING",
            "EXTENDING",
            "BACKING-UP",
            "RESTORING-BACKUP",
            "AWAITING-TRANSFER",
            "DELETING",
        }
    ),
    Kind.NETWORK: frozenset({"BUILD"}),
    Kind.ROUTER: frozenset({"ALLOCATING"}),
    Kind.PORT: frozenset({"BUILD"}),
    # A floating IP is DOWN when its owner takes it from a port.
    Kind.FLOATING_IP: frozenset({"DOWN"}),
    Kind.LOAD_BALANCER: frozenset({"ACTIVE/DEGRADED", "PENDING_UPDATE/ONLINE", "PENDING_UPDATE/NO_MONITOR"}),
    Kind.ALARM: frozenset({"DISABLED"}),
}
COMMANDS: Final[Mapping[Kind, str]] = {
    Kind.SERVER: "openstack server show",
    Kind.VOLUME: "openstack volume show",
    Kind.NETWORK: "openstack network show",
    Kind.ROUTER: "openstack router show",
    Kind.PORT: "openstack port show",
    Kind.FLOATING_IP: "openstack floating ip show",
    Kind.LOAD_BALANCER: "openstack loadbalancer show",
    Kind.ALARM: "openstack alarm show",
}


class Change(enum.StrEnum):
    """How a resource differs from the inventory; the values are those of ``--json``."""

    MISSING = "missing"
    NOT_OPERATIONAL = "not_operational"
    NEW = "new"


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One difference.

    :ivar item: the resource as the inventory has it, or as it is now if it is new.
    :ivar state: its state now, if that is why it is here.
    """

    change: Change
    item: Item
    state: str = ""

    @property
    def health(self) -> Health:
        """How bad it is: a state that its owner may have asked for is a warning."""
        if self.change is Change.NEW:
            return Health.OK
        requested = self.change is Change.NOT_OPERATIONAL and self.state in REQUESTED[self.item.kind]
        return Health.WARNING if requested else Health.CRITICAL


@dataclasses.dataclass(frozen=True, slots=True)
class BrokenService:
    """A service whose resources cannot be compared.

    :ivar kinds: those of its resources that were not listed, or not completely.
    :ivar error: what it answered; empty if the catalog does not have it any more.
    """

    service_type: str
    kinds: tuple[Kind, ...]
    error: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """The result: the services that failed, and the differences in the order of the inventory, new ones last.

    :ivar compared: the number of resources of the inventory that were compared.
    """

    broken: tuple[BrokenService, ...]
    differences: tuple[Difference, ...]
    compared: int

    @property
    def health(self) -> Health:
        """The health of the whole."""
        return worst([*(Health.CRITICAL for _ in self.broken), *(one.health for one in self.differences)])


def compare(before: Iterable[Item], now: Iterable[Item | BrokenService]) -> Comparison:
    """Return what is missing, no longer operational or new.

    Of *now*, only what differs is kept. An item that is listed twice, as happens when something is created
    while pages are read, counts as it was listed last.

    :param now: what is listed; a service that fails ends its items by saying so.
    """
    known = {(item.kind, item.id): item for item in before}
    unseen = set(known)
    stopped: dict[tuple[Kind, str], str] = {}
    fresh: dict[tuple[Kind, str], Item] = {}
    broken: list[BrokenService] = []
    for one in now:
        if isinstance(one, BrokenService):
            broken.append(one)
            continue
        key = one.kind, one.id
        unseen.discard(key)
        stopped.pop(key, None)
        if key not in known:
            fresh[key] = one
        elif is_operational(known[key]) and not is_operational(one):
            stopped[key] = one.state
    unread = {kind for service in broken for kind in service.kinds}
    expected = {key: item for key, item in known.items() if item.kind not in unread}
    new = (Difference(Change.NEW, item) for item in fresh.values())
    return Comparison(tuple(broken), (*_faults(expected, unseen, stopped), *new), len(expected))


def _faults(
    expected: Mapping[tuple[Kind, str], Item],
    unseen: Container[tuple[Kind, str]],
    stopped: Mapping[tuple[Kind, str], str],
) -> Iterator[Difference]:
    for key, item in expected.items():
        if key in unseen:
            yield Difference(Change.MISSING, item)
        elif key in stopped:
            yield Difference(Change.NOT_OPERATIONAL, item, stopped[key])


def is_operational(item: Item) -> bool:
    """Return True if a resource does its work, as far as its service says."""
    states = OPERATIONAL.get(item.kind)
    return states is None or item.state in states


def findings(comparison: Comparison) -> Iterator[Finding]:
    """Yield a finding for each fault, and none for what is new."""
    for service in comparison.broken:
        yield _finding_of_service(service)
    for one in comparison.differences:
        if one.change is not Change.NEW:
            yield _finding(one)


def recovered(
    known: Iterable[Finding], comparison: Comparison, kinds: Iterable[Kind], project_id: str
) -> Iterator[Finding]:
    """Yield a finding for each target that an earlier comparison found failed, and this one does not.

    That includes what the inventory does not list any more, as after its owner deleted it.

    :param known: the last finding of each target.
    :param kinds: what the inventory lists.
    :param project_id: whose resources it lists, empty for all; those of others are left alone.
    """
    failing = {finding.target for finding in findings(comparison)}
    unread = {kind for service in comparison.broken for kind in service.kinds}
    compared = [kind for kind in kinds if kind not in unread]
    begins = tuple({*(f"{kind.words} " for kind in compared), *map(_service_target, compared)})
    for finding in known:
        theirs = bool(project_id and finding.project_id and finding.project_id != project_id)
        if (
            finding.failed
            and not theirs
            and finding.target not in failing
            and finding.target.startswith(begins)
        ):
            yield dataclasses.replace(finding, health=Health.OK, summary="as expected", remedy="")


def _service_target(kind: Kind) -> str:
    return f"service {SERVICE_TYPES[kind]}"


def target_of(item: Item) -> str:
    """Return the target of the findings about a resource; its name may change, its id does not."""
    return f"{item.kind.words} {item.id}"


def _finding_of_service(service: BrokenService) -> Finding:
    lists = ", ".join(f"{kind.words}s" for kind in service.kinds)
    name = f"service {service.service_type}"
    if service.error:
        summary = f"{name}: {lists} cannot be listed: {service.error}"
        remedy = "see the log of the service, then compare again"
    else:
        summary = f"{name} is no longer in the catalog: {lists} cannot be listed"
        remedy = "restore the service and its endpoint, which openstack catalog list must show"
    return Finding(target=name, health=Health.CRITICAL, summary=summary, remedy=remedy)


def _finding(one: Difference) -> Finding:
    item = one.item
    described = f"{item.kind.words} {item.name} ({item.id})" if item.name else target_of(item)
    if one.change is Change.MISSING:
        summary = f"{described} is missing"
        remedy = "create it again, or take another snapshot if its owner deleted it"
    else:
        summary = f"{described} was {item.state} and is {one.state or 'in no state'}"
        remedy = f"see why: {COMMANDS[item.kind]} {item.id}"
    return Finding(
        target=target_of(item), health=one.health, summary=summary, remedy=remedy, project_id=item.project_id
    )
