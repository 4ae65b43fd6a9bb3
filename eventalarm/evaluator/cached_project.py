"""One project of the alarm cache: its index, the version of each definition in it, and when to load it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import enum
import gc
from collections.abc import Iterator, Sized
from typing import Final

from eventalarm.evaluator.event_rule import Watch
from eventalarm.evaluator.index import FiledUnder, ProjectIndex

# Number of definitions from which on they are excluded from garbage collection for good.
MANY: Final = 10000


@dataclasses.dataclass(frozen=True, slots=True)
class CacheFigures:
    """How much is cached; ``scanned`` rules are tested one by one. ``refreshed_at``: the database's clock."""

    alarms: int
    projects: int
    scanned: int
    refreshed_at: datetime.datetime | None


class Need(enum.Enum):
    """What a project needs before its events can be evaluated; ``RELOAD`` is not urgent."""

    NOTHING = enum.auto()
    RELOAD = enum.auto()
    LOAD = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A cached alarm; ``rule`` is None when it cannot be compiled."""

    version: datetime.datetime
    rule: Watch | None
    clears: bool
    anchor: FiledUnder | None


class CachedProject:
    """The index of one project and what is filed in it."""

    def __init__(self, loaded_at: float) -> None:
        self.index = ProjectIndex()
        self.entries: dict[str, Entry] = {}
        self.loaded_at = loaded_at

    def remove(self, alarm_id: str) -> None:
        """Take an alarm out if it is there."""
        entry = self.entries.pop(alarm_id, None)
        if entry is not None and entry.rule is not None and entry.anchor is not None:
            self.index.discard(alarm_id, entry.rule, entry.clears, entry.anchor)


@contextlib.contextmanager
def collector_paused(loaded: Sized) -> Iterator[None]:
    """Keep the cyclic garbage collector from walking through what is being loaded, over and over.

    Definitions are made of many small objects that live long and form no cycles. Not walking them while they
    are loaded saves a third of the time; not walking through many afterwards saves pauses of the process.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        if len(loaded) >= MANY:
            gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
