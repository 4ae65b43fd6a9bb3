"""Merging: of the definitions that fit an event Ceilometer takes the last one, so that the order decides.

The order that comes out: what stood in the file and is as wide as ours or wider, or about other events; ours;
then what the deployer wrote for fewer events than ours. So the narrower one counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from eventalarm.catalogue.event_definitions import CEILOMETER, ORIGIN, OURS, Definition, marked, origin_of
from eventalarm.owner import PROJECT, TENANT, Doubt, event_types, naming
from eventalarm.patterns import matches_glob

# Of a definition of Ceilometer that the deployer changed: ours, with these changes.
CHANGED = f"{OURS}/changed"


@dataclasses.dataclass(frozen=True, slots=True)
class Merged:
    """What comes out, in order, and what the deployer ought to know."""

    definitions: tuple[Definition, ...]
    notes: tuple[str, ...] = ()


def covers(wide: str, narrow: str) -> bool:
    """Return True if *wide* fits every event type that *narrow* fits."""
    return matches_glob(narrow, wide)


def merge(
    present: Sequence[Definition] | None,
    shipped: Sequence[Definition],
    ours: Iterable[tuple[str, Definition]],
    *,
    begin_with_shipped: bool = False,
) -> Merged:
    """Merge *ours* (name of the file, definition) into those *present* in Ceilometer's file.

    :param present: None when there is no file, and Ceilometer reads what it ships.
    :param shipped: what the installed Ceilometer ships; in *present* it stands where an earlier merge put it.
    :param begin_with_shipped: put it first in any case.
    """
    mine = [marked(one, f"{OURS}/{name}") for name, one in ours]
    base = [one for one in present or () if not origin_of(one).startswith(OURS)]
    stock = [marked(one, CEILOMETER) for one in shipped]
    if present is None or begin_with_shipped or any(origin_of(one) == CEILOMETER for one in base):
        base = [*stock, *(one for one in base if origin_of(one) != CEILOMETER)]
    before: list[Definition] = []
    after: list[Definition] = []
    changed: list[Definition] = []
    notes: list[str] = []
    for one in base:
        if origin_of(one) == CEILOMETER:
            before.append(one)
            continue
        deployed = {name: value for name, value in one.items() if name != ORIGIN}
        original = next(
            (each for each in shipped if set(event_types(each)) == set(event_types(deployed))), None
        )
        if original is not None:
            before.append(deployed)
            changed += _changed(deployed, original, mine)
            continue
        narrow, wide = _split(deployed, mine)
        after += narrow
        before += wide
        notes += [_note(each, mine) for each in narrow]
    if not any(set(event_types(one)) == set(event_types(each)) for one in before for each in shipped):
        notes.append("the file has none of Ceilometer's own definitions; --shipped puts them first")
    notes += [f"{', '.join(event_types(one))}: ours, with your changes of Ceilometer's" for one in changed]
    return Merged((*before, *mine, *changed, *after), tuple(note for note in notes if note))


def _split(deployed: Definition, mine: Sequence[Definition]) -> tuple[list[Definition], list[Definition]]:
    """Divide a definition by its event types: those that must stand behind ours, and the others."""
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
    """Return True if an event type may fit both patterns."""
    head, another = one.partition("*")[0], other.partition("*")[0]
    tail, end = one.rpartition("*")[2], other.rpartition("*")[2]
    if "*" not in one or "*" not in other:
        return matches_glob(one, other) or matches_glob(other, one)
    heads = head.startswith(another) or another.startswith(head)
    return heads and (tail.endswith(end) or end.endswith(tail))


def _changed(deployed: Definition, original: Definition, mine: Sequence[Definition]) -> list[Definition]:
    """Return ours with what the deployer changed in one of Ceilometer's, for the events of both."""
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
    """Say which traits of ours the events of a deployer's definition do without."""
    missing = {
        name
        for kind in event_types(deployed)
        for one in mine
        if any(covers(other, kind) for other in event_types(one))
        for name in one["traits"]
        if name not in deployed["traits"]
    } - {"caller_project_id"}
    kinds = ", ".join(event_types(deployed))
    return f"{kinds}: your own definition counts, without {', '.join(sorted(missing))}" if missing else ""
