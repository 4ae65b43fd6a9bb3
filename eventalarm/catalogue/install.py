"""What ``eventalarm-definitions install`` writes, ready to be written: merged, and verified by Ceilometer."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
from collections.abc import Iterable, Sequence

from eventalarm.catalogue import event_definitions, loader, merge

HEAD = """\
Written by "eventalarm-definitions install". Of the definitions that fit an event Ceilometer takes the last.
Add your own, or change any: what you change is yours and stays when this file is written anew. Put yours
last where eventalarm has one for the same events."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What stands in a file, what should, and what the deployer ought to know."""

    before: str
    text: str
    notes: tuple[str, ...]


def plan(
    path: pathlib.Path,
    places: Sequence[pathlib.Path] = (),
    only: Iterable[str] = (),
    *,
    begin_with_shipped: bool = False,
) -> Plan:
    """Merge our definitions into those of the file *path*, which need not exist, and verify the result.

    :param places: folders or files with our definitions; those of the package, if empty.
    :param only: names of our files such as ``20-neutron``; all, if empty.
    :param begin_with_shipped: put Ceilometer's own first where the file has none of them.
    :raises eventalarm.catalogue.event_definitions.BadDefinitions: when a file is not one of definitions, or
        Ceilometer refuses the result.
    """
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    present = event_definitions.read(path) if path.exists() else None
    ours = [
        (one.stem, definition)
        for one in event_definitions.fragments(places, only)
        for definition in event_definitions.read(one)
    ]
    shipped = event_definitions.read(loader.shipped())
    merged = merge.merge(present, shipped, ours, begin_with_shipped=begin_with_shipped)
    text = event_definitions.write(merged.definitions, HEAD)
    with tempfile.TemporaryDirectory() as folder:
        tried = pathlib.Path(folder, path.name)
        tried.write_text(text, encoding="utf-8")
        loader.verify(tried, merged.definitions)
    return Plan(before, text, merged.notes)
