"""Prepares what ``eventalarm-definitions install`` writes: merged definitions that Ceilometer accepts."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
from collections.abc import Iterable, Sequence

from eventalarm.catalogue import event_definitions, loader, merge
from eventalarm.catalogue.coverage import Coverage, compare

HEAD = """\
Written by "eventalarm-definitions install". Ceilometer uses the last definition that matches an event. You
may add and change definitions; your changes are kept when this file is written again. Put a definition of
yours after eventalarm's for the same events."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """The present and the new text of a file, what the present one lacks, and notes for the deployer."""

    before: str
    text: str
    coverage: Coverage
    notes: tuple[str, ...]


def plan(
    path: pathlib.Path,
    places: Sequence[pathlib.Path] = (),
    only: Iterable[str] = (),
    *,
    begin_with_shipped: bool = False,
) -> Plan:
    """Merge our definitions into those of the file *path*, which need not exist, and verify the result.

    :param places: directories or files with our definitions; empty for those of the package.
    :param only: names of our files such as ``20-neutron``; empty for all.
    :param begin_with_shipped: put Ceilometer's own first even if the file has none of them.
    :raises eventalarm.catalogue.event_definitions.BadDefinitions: when a file is invalid, or Ceilometer
        refuses the result.
    """
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    present = event_definitions.read(path) if path.exists() else None
    ours = _ours(places, only)
    shipped = event_definitions.read(loader.shipped())
    merged = merge.merge(present, shipped, ours, begin_with_shipped=begin_with_shipped)
    text = event_definitions.write(merged.definitions, HEAD)
    with tempfile.TemporaryDirectory() as folder:
        tried = pathlib.Path(folder, path.name)
        tried.write_text(text, encoding="utf-8")
        loader.verify(tried, merged.definitions)
    coverage = compare(shipped if present is None else present, shipped, ours)
    return Plan(before, text, coverage, merged.notes)


def check(path: pathlib.Path) -> Coverage:
    """Return what the definitions in the file *path* lack of those of the package.

    :raises eventalarm.catalogue.event_definitions.BadDefinitions: when a file is invalid.
    """
    return compare(event_definitions.read(path), event_definitions.read(loader.shipped()), _ours())


def _ours(
    places: Sequence[pathlib.Path] = (), only: Iterable[str] = ()
) -> list[tuple[str, event_definitions.Definition]]:
    return [
        (one.stem, definition)
        for one in event_definitions.fragments(places, only)
        for definition in event_definitions.read(one)
    ]
