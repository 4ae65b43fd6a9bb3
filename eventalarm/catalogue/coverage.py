"""What a file of event definitions lacks of eventalarm's: what a merge would change, by event type. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from eventalarm.catalogue.event_definitions import ORIGIN, Definition
from eventalarm.catalogue.merge import covers, merge
from eventalarm.owner import event_types

SHOWN = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Gap:
    """Event types of one of eventalarm's files, whose events lack traits of eventalarm's definitions."""

    file: str
    event_types: tuple[str, ...]

    def __str__(self) -> str:
        """Return the file and its event types, at most ``SHOWN``."""
        more = f" and {len(self.event_types) - SHOWN} more" if len(self.event_types) > SHOWN else ""
        return f"{self.file}: {', '.join(self.event_types[:SHOWN])}{more}"


@dataclasses.dataclass(frozen=True, slots=True)
class Coverage:
    """What is missing, and which definitions of the deployer are used instead, as sentences."""

    missing: tuple[Gap, ...]
    overridden: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """The number of event types that lack traits."""
        return sum(len(gap.event_types) for gap in self.missing)

    def text(self) -> str:
        """Return what is missing, by file."""
        return "; ".join(map(str, self.missing))


def compare(
    present: Sequence[Definition], shipped: Sequence[Definition], ours: Iterable[tuple[str, Definition]]
) -> Coverage:
    """Compare the definitions in a file with what a merge of *ours* (file, definition) would make of them.

    An event type counts only if its events would get other traits, so a definition of the deployer with the
    same effect is not missing.

    :param shipped: those of the installed Ceilometer; empty if it is not installed.
    """
    mine = list(ours)
    merged = merge(present, shipped, mine)
    missing: dict[str, list[str]] = {}
    for name, definition in mine:
        for kind in event_types(definition):
            sample = kind.replace("*", "x")
            if _traits(present, sample) != _traits(merged.definitions, sample):
                found = missing.setdefault(name, [])
                if kind not in found:
                    found.append(kind)
    gaps = tuple(Gap(name, tuple(kinds)) for name, kinds in sorted(missing.items()))
    return Coverage(gaps, merged.overridden)


def _traits(definitions: Sequence[Definition], event_type: str) -> object:
    """Return the traits that Ceilometer gives to events of a type: those of the last definition for it."""
    for one in reversed(definitions):
        said = one["event_type"] if isinstance(one["event_type"], list) else [one["event_type"]]
        excluded = any(covers(kind[1:], event_type) for kind in said if kind.startswith("!"))
        # Ceilometer takes a definition that only excludes types for one of all others.
        if not excluded and any(covers(kind, event_type) for kind in event_types(one) or ["*"]):
            return {name: value for name, value in one.items() if name not in (ORIGIN, "event_type")}
    return None
