"""Merges event definitions: Ceilometer uses the last one that matches an event, so the order matters.

The resulting order: those in the file that match the same events as ours, more, or other ones; ours; those of
the deployer that match fewer events than ours. So the most specific one is used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from eventalarm.catalogue.event_definitions import CEILOMETER, ORIGIN, OURS, Definition, marked, origin_of
from eventalarm.owner import PROJECT, TENANT, Doubt, event_types, naming
from eventalarm.patterns import matches_glob

# The origin of ours with the changes that the deployer made to one of Ceilometer's.
CHANGED = f"{OURS}/changed"


@dataclasses.dataclass(frozen=True, slots=True)
class Merged:
    """The resulting definitions in order, and notes for the deployer.

    ``overridden`` are notes on definitions of the deployer that are used instead of ours with fewer traits.
    """

    definitions: tuple[Definition, ...]
    overridden: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """All notes."""
        return (*self.overridden, *self.others)


def covers(wide: str, narrow: str) -> bool:
    """Return True if the pattern *wide* matches every event type that the pattern *narrow* matches."""
    return matches_glob(narrow, wide)


def merge(
    present: Sequence[Definition] | None,
    shipped: Sequence[Definition],
    ours: Iterable[tuple[str, Definition]],
    *,
    begin_with_shipped: bool = False,
) -> Merged:
    """Merge *ours* (name of the file, definition) into those *present* in Ceilometer's file.

    :param present: None when there is no file, so that Ceilometer reads the definitions that it ships.
    :param shipped: those of the installed Ceilometer; where an earlier merge put its own, they are replaced.
    :param begin_with_shipped: put them first even if *present* has none of them.
    """
    mine = [marked(one, f"{OURS}/{name}") for name, one in ours]
    placed = _Placed()
    for one in _without_ours(present, shipped, begin_with_shipped=begin_with_shipped):
        placed.add(one, shipped, mine)
    overridden = tuple(note for one in placed.after if (note := _note(one, mine)))
    notes = []
    if not any(_same_events(one, each) for one in placed.before for each in shipped):
        notes.append("the file has none of Ceilometer's own definitions; --shipped puts them first")
    notes += [
        f"{', '.join(event_types(one))}: eventalarm's, with your changes to Ceilometer's"
        for one in placed.changed
    ]
    definitions = (*placed.before, *mine, *placed.changed, *placed.after)
    return Merged(definitions, overridden, tuple(notes))


def _without_ours(
    present: Sequence[Definition] | None, shipped: Sequence[Definition], *, begin_with_shipped: bool
) -> list[Definition]:
    """Return the definitions of Ceilometer, if the file is to have them, and those of the deployer."""
    found = [one for one in present or () if not origin_of(one).startswith(OURS)]
    if present is None or begin_with_shipped or any(origin_of(one) == CEILOMETER for one in found):
        stock = [marked(one, CEILOMETER) for one in shipped]
        found = [*stock, *(one for one in found if origin_of(one) != CEILOMETER)]
    return found


def _same_events(one: Definition, other: Definition) -> bool:
    return set(event_types(one)) == set(event_types(other))


@dataclasses.dataclass(slots=True)
class _Placed:
    """The other definitions by their place: before ours, ours with a deployer's changes, after ours."""

    before: list[Definition] = dataclasses.field(default_factory=list)
    changed: list[Definition] = dataclasses.field(default_factory=list)
    after: list[Definition] = dataclasses.field(default_factory=list)

    def add(self, one: Definition, shipped: Sequence[Definition], mine: Sequence[Definition]) -> None:
        """Place a definition of Ceilometer or of the deployer."""
        if origin_of(one) == CEILOMETER:
            self.before.append(one)
            return
        deployed = {name: value for name, value in one.items() if name != ORIGIN}
        original = next((each for each in shipped if _same_events(each, deployed)), None)
        if original is not None:
            self.before.append(deployed)
            self.changed += _changed(deployed, original, mine)
            return
        narrow, wide = _split(deployed, mine)
        self.after += narrow
        self.before += wide


def _split(deployed: Definition, mine: Sequence[Definition]) -> tuple[list[Definition], list[Definition]]:
    """Divide a definition by its event types: those to be placed after ours, and the others."""
    said = [deployed["event_type"]] if isinstance(deployed["event_type"], str) else deployed["event_type"]
    excluded = [kind for kind in said if kind.startswith("!")]
    theirs = [kind for one in mine for kind in event_types(one)]
    behind = [kind for kind in event_types(deployed) if _is_narrower(kind, theirs)]
    others = [kind for kind in event_types(deployed) if kind not in behind]
    if not behind:
        return [], [deployed]
    narrow = {**deployed, "event_type": [*behind, *excluded]}
    return [narrow] if others else [deployed], [
        {**deployed, "event_type": [*others, *excluded]}
    ] if others else []


def _is_narrower(kind: str, theirs: Sequence[str]) -> bool:
    """Return True if *kind* shares events with *theirs* and is not wider."""
    meeting = [one for one in theirs if covers(one, kind) or _meet(kind, one)]
    return bool(meeting) and not any(covers(kind, one) and not covers(one, kind) for one in meeting)


def _meet(one: str, other: str) -> bool:
    """Return True if one event type may match both patterns."""
    head, another = one.partition("*")[0], other.partition("*")[0]
    tail, end = one.rpartition("*")[2], other.rpartition("*")[2]
    if "*" not in one or "*" not in other:
        return matches_glob(one, other) or matches_glob(other, one)
    heads = head.startswith(another) or another.startswith(head)
    return heads and (tail.endswith(end) or end.endswith(tail))


def _changed(deployed: Definition, original: Definition, mine: Sequence[Definition]) -> list[Definition]:
    """Return ours with the changes that the deployer made to one of Ceilometer's, for the events of both."""
    caller = naming(deployed).doubt is Doubt.CALLER_ONLY
    extra = {
        name: spec
        for name, spec in deployed["traits"].items()
        if original["traits"].get(name) != spec and not (caller and name in (PROJECT, TENANT))
    }
    found = []
    for one in mine:
        kinds = [
            kind if covers(other, kind) else other
            for kind in event_types(deployed)
            for other in event_types(one)
            if covers(other, kind) or covers(kind, other)
        ]
        if kinds and any(one["traits"].get(name) != spec for name, spec in extra.items()):
            traits = {**one["traits"], **extra}
            found.append(marked({"event_type": list(dict.fromkeys(kinds)), "traits": traits}, CHANGED))
    return found


def _note(deployed: Definition, mine: Sequence[Definition]) -> str:
    """Return which traits of ours a deployer's definition lacks, as a note; empty if it lacks none."""
    missing = {
        name
        for kind in event_types(deployed)
        for one in mine
        if any(covers(other, kind) for other in event_types(one))
        for name in one["traits"]
        if name not in deployed["traits"]
    } - {"caller_project_id"}
    kinds = ", ".join(event_types(deployed))
    return f"{kinds}: your own definition is used, without {', '.join(sorted(missing))}" if missing else ""
