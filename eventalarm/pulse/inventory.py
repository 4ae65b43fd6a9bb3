"""The inventory of a cloud before an upgrade: what there is, in which state, and its JSON file. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from eventalarm.exceptions import EventAlarmError

FORMAT: Final = "eventalarm-pulse inventory"
VERSION: Final = 1


class Kind(enum.StrEnum):
    """What is listed; the values are those of the option ``--kind`` and of the file."""

    SERVER = "server"
    VOLUME = "volume"
    NETWORK = "network"
    ROUTER = "router"
    PORT = "port"
    FLOATING_IP = "floating_ip"
    LOAD_BALANCER = "load_balancer"
    ALARM = "alarm"
    SUBSCRIPTION = "subscription"

    @property
    def words(self) -> str:
        """The kind in messages."""
        return "floating IP" if self is Kind.FLOATING_IP else self.value.replace("_", " ")

    def number(self, number: int) -> str:
        """Return a number of resources in messages."""
        return f"{number} {self.words}{'' if number == 1 else 's'}"


# The type of the service in the catalog that lists each kind.
SERVICE_TYPES: Final[Mapping[Kind, str]] = {
    Kind.SERVER: "compute",
    Kind.VOLUME: "block-storage",
    Kind.NETWORK: "network",
    Kind.ROUTER: "network",
    Kind.PORT: "network",
    Kind.FLOATING_IP: "network",
    Kind.LOAD_BALANCER: "load-balancer",
    Kind.ALARM: "alarming",
    Kind.SUBSCRIPTION: "nfv-alarm",
}


class InvalidInventory(EventAlarmError):
    """A file is not an inventory of this format, or belongs to another project."""


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One resource.

    :ivar state: as its service names it, in upper case; empty where the service has no states.
    :ivar project_id: the owner; empty where the service does not name it.
    """

    kind: Kind
    id: str
    name: str = ""
    state: str = ""
    project_id: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """What a file says before its items.

    :ivar taken_at: when the inventory was begun (aware UTC).
    :ivar project_id: whose resources are listed; empty for those of all projects.
    :ivar kinds: what was listed.
    :ivar absent: the kinds whose service the catalog did not have.
    """

    cloud: str
    taken_at: datetime.datetime
    project_id: str
    kinds: tuple[Kind, ...]
    absent: tuple[Kind, ...] = ()


def lines_of(header: Header, items: Iterable[Item]) -> Iterator[str]:
    """Yield the lines of the file: one JSON object, with each item on a line of its own."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "cloud": header.cloud,
        "taken_at": header.taken_at.isoformat(),
        "project_id": header.project_id,
        "kinds": list(header.kinds),
        "absent": list(header.absent),
    }
    yield json.dumps(head)[:-1] + ', "items": ['
    separator = ""
    for item in items:
        yield separator + json.dumps(dataclasses.asdict(item))
        separator = ","
    yield "]}"


def parse(text: str) -> tuple[Header, tuple[Item, ...]]:
    """Return what the text of a file holds.

    :raises InvalidInventory: when it is not an inventory, or one of a later version.
    """
    try:
        document = json.loads(text)
    except ValueError as exc:
        raise InvalidInventory(f"is not JSON, or was not written completely: {exc}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InvalidInventory("was not written by `eventalarm-pulse snapshot`")
    if document.get("version") != VERSION:
        version = document.get("version")
        raise InvalidInventory(f"has version {version!r}, and this release reads {VERSION}: take another")
    try:
        return _header(document), tuple(_item(one) for one in document["items"])
    except (KeyError, TypeError, ValueError) as exc:
        raise InvalidInventory(f"has an invalid field: {exc!r}") from None


def _header(document: Mapping[str, Any]) -> Header:
    taken_at = datetime.datetime.fromisoformat(document["taken_at"])
    if taken_at.tzinfo is None:
        raise ValueError("taken_at must have a time zone")
    return Header(
        _text(document["cloud"]),
        taken_at,
        _text(document["project_id"]),
        tuple(map(Kind, document["kinds"])),
        tuple(map(Kind, document["absent"])),
    )


def _item(found: Mapping[str, Any]) -> Item:
    fields = {name: _text(found[name]) for name in ("id", "name", "state", "project_id")}
    return Item(Kind(found["kind"]), **fields)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} must be a string")
    return value
