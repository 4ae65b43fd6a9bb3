"""One project of the alarm cache: its index, and the version of each definition in it."""

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

# A project with at least so many definitions is excluded from garbage collection permanently.
MANY: Final = 10000


@dataclasses.dataclass(frozen=True, slots=True)
class CacheFigures:
    """The size of the cache; ``scanned`` rules are tested one by one. Times are by the database's clock."""

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
    """A cached alarm; ``rule`` is None if it cannot be compiled."""

    version: datetime.datetime
    rule: Watch | None
    clears: bool
    anchor: FiledUnder | None


class CachedProject:
    """The index of one project and the alarms in it; ``loaded_at`` is in seconds of a monotonic clock."""

    def __init__(self, loaded_at: float) -> None:
        self.index = ProjectIndex()
        self.entries: dict[str, Entry] = {}
        self.loaded_at = loaded_at

    def remove(self, alarm_id: str) -> None:
        """Remove an alarm if it is present."""
        entry = self.entries.pop(alarm_id, None)
        if entry is not None and entry.rule is not None and entry.anchor is not None:
            self.index.discard(alarm_id, entry.rule, entry.clears, entry.anchor)


@contextlib.contextmanager
def collector_paused(loaded: Sized) -> Iterator[None]:
    """Pause the cyclic garbage collector while *loaded* is filled, and exclude it if it is large.

    Definitions consist of many small, long-lived objects without cycles. Not traversing them again and again
    while they are loaded saves a third of the time; excluding large projects afterwards avoids pauses.
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
