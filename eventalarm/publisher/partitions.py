"""Partitions: the topics among which events are divided by project, and the topic of each event.

All events of a project are put on one topic, which one listener consumes at a time: their order is kept, and
a listener holds the alarm definitions of its own partitions only. With one partition every event is put on
the topic ``event_eval`` itself, which all listeners consume together.

The topic contains the number of partitions (``event_eval.4.0`` is the first of four): events that were
published before the number was changed are then on other topics than later ones, and can be evaluated first.
"""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

from oslo_config import cfg

from eventalarm.conf import GROUP
from eventalarm.model import JSONDict
from eventalarm.owner import Owners
from eventalarm.publisher.codec import decode

# Owners of events, as the listeners find them by default.
OWNER_TRAITS: Final = ("project_id", "tenant_id", "caller_project_id")
MOST: Final = 1024

LABEL: Final = re.compile(r"([1-9][0-9]{0,3})\.([0-9]{1,4})")


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One of *count* partitions, by its *number* from 0 on."""

    count: int
    number: int

    @property
    def label(self) -> str:
        """Return the partition as text: ``4.0`` is the first of four."""
        return f"{self.count}.{self.number}"

    @classmethod
    def parse(cls, label: str) -> Partition | None:
        """Return the partition of a label, or None if the text is not one."""
        found = LABEL.fullmatch(label)
        return cls(int(found[1]), int(found[2])) if found and int(found[2]) < int(found[1]) else None

    def topic(self, base: str) -> str:
        """Return the topic of the partition; the only partition is the topic *base* itself."""
        return base if self.count == 1 else f"{base}.{self.label}"


def all_of(count: int) -> tuple[Partition, ...]:
    """Return *count* partitions."""
    return tuple(Partition(count, number) for number in range(count))


def of_project(project_id: str, count: int) -> Partition:
    """Return the partition of a project; events without a project belong to that of the empty id."""
    return Partition(count, zlib.crc32(project_id.encode(errors="replace")) % count)


class Partitioning:
    """Divides events among the topics of *count* partitions by their owner, found by *owner_traits*."""

    def __init__(self, base: str, count: int = 1, owner_traits: Sequence[str] = OWNER_TRAITS) -> None:
        self._base = base
        self._count = count
        self._owners = Owners(owner_traits)

    @classmethod
    def configured(cls, conf: cfg.ConfigOpts) -> Partitioning:
        """Return the partitioning that the options of ``[eventalarm]`` describe."""
        group = conf[GROUP]
        return cls(group.topic, group.partitions, group.owner_traits)

    def split(self, bodies: list[JSONDict]) -> Iterator[tuple[str, list[JSONDict]]]:
        """Yield each topic with its events, in their order."""
        if self._count == 1:
            yield self._base, bodies
            return
        found: dict[str, list[JSONDict]] = {}
        for body in bodies:
            found.setdefault(self._topic(body), []).append(body)
        yield from found.items()

    def _topic(self, body: JSONDict) -> str:
        # A listener ignores an event that cannot be read, whichever topic it is on.
        events, _ = decode(body)
        owner = self._owners.of(events[0]) if events else ""
        return of_project(owner, self._count).topic(self._base)
