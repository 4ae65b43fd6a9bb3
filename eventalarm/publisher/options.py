"""The options of an ``eventalarm://`` URL, validated."""

from __future__ import annotations

import dataclasses
import enum
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, Final

from eventalarm.exceptions import InvalidOption
from eventalarm.publisher.partitions import MOST as MOST_PARTITIONS
from eventalarm.publisher.partitions import OWNER_TRAITS

MEBIBYTE: Final = 1024 * 1024
FLAGS: Final = {"true": True, "false": False}
NAME: Final = re.compile(r"[\w.-]{1,200}")


class Policy(enum.StrEnum):
    """What happens to events while the broker does not accept them."""

    DEFAULT = "default"
    QUEUE = "queue"
    DROP = "drop"


@dataclasses.dataclass(frozen=True, slots=True)
class PublisherOptions:
    """The options of one publisher line of ``event_pipeline.yaml``.

    ``url`` is the transport URL. It is None if the line names no host: then Ceilometer's own transport is
    used, and ``driver`` must be absent or name the same driver. ``partitions`` and ``owner_traits``
    determine the topic of each event. ``max_retry`` is the number of retries; None
    means no limit. ``max_message_size`` is in bytes. ``accept_event_loss`` permits a
    driver that loses events. ``driver_options`` are passed to oslo.messaging.
    """

    url: str | None = dataclasses.field(default=None, repr=False)
    driver: str | None = None
    topic: str = "event_eval"
    partitions: int = 1
    owner_traits: Sequence[str] = OWNER_TRAITS
    exchange: str = "eventalarm"
    policy: Policy = Policy.DEFAULT
    max_queue_length: int = 1024
    max_retry: int | None = None
    max_message_size: int = 8 * MEBIBYTE
    accept_event_loss: bool = False
    driver_options: Mapping[str, str] = dataclasses.field(default_factory=dict)


def parse(parts: urllib.parse.SplitResult) -> PublisherOptions:
    """Read the options of a split publisher URL.

    Options for the driver are checked when the transport is created.

    :raises InvalidOption: naming the first invalid option and the remedy.
    """
    query = _query(parts.query)
    ours = {name: read(name, query.pop(name)) for name, read in READERS.items() if name in query}
    url = None
    if parts.netloc:
        url = f"{ours.get('driver', 'rabbit')}://{parts.netloc}{parts.path}"
    elif parts.path.strip("/"):
        raise InvalidOption("host", "is missing before the virtual host", "write eventalarm://host/vhost")
    return PublisherOptions(url=url, driver_options=query, **ours)


def _query(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in urllib.parse.parse_qsl(text, keep_blank_values=True):
        if name in values:
            raise InvalidOption(name, "is given twice", "remove one of them")
        if not value:
            raise InvalidOption(name, "has no value", f"write {name}=VALUE or remove it")
        values[name] = value
    return values


def _name(option: str, value: str) -> str:
    if not NAME.fullmatch(value):
        raise InvalidOption(
            option,
            f"{value[:80]!r} is not a valid name",
            "use up to 200 letters, digits, dots, dashes or underscores",
        )
    return value


def _policy(option: str, value: str) -> Policy:
    try:
        return Policy(value)
    except ValueError:
        choices = ", ".join(Policy)
        raise InvalidOption(option, f"{value[:80]!r} is unknown", f"use one of: {choices}") from None


def _flag(option: str, value: str) -> bool:
    if value not in FLAGS:
        raise InvalidOption(option, f"{value[:80]!r} is not valid", "use true or false")
    return FLAGS[value]


def _traits(option: str, value: str) -> tuple[str, ...]:
    return tuple(_name(option, one.strip()) for one in value.split(","))


class _Number:
    """Reads an integer from *least* to *most*."""

    def __init__(self, least: int, most: int = 10**15) -> None:
        self._least = least
        self._most = most

    def __call__(self, option: str, value: str) -> int:
        valid = value.isascii() and value.isdigit() and len(value) <= 15
        if not valid or int(value) < self._least:
            raise InvalidOption(option, f"{value[:80]!r} is not valid", f"use an integer ≥ {self._least}")
        if int(value) > self._most:
            raise InvalidOption(option, f"{value} is too large", f"use an integer ≤ {self._most}")
        return int(value)


READERS: Final[Mapping[str, Any]] = {
    "topic": _name,
    "exchange": _name,
    "driver": _name,
    "policy": _policy,
    "max_queue_length": _Number(1),
    "max_retry": _Number(0),
    # A smaller limit would split and strip nearly every event.
    "max_message_size": _Number(16 * 1024),
    "accept_event_loss": _flag,
    "partitions": _Number(1, MOST_PARTITIONS),
    "owner_traits": _traits,
}
