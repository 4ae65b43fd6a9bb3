"""Reads the files of the fault catalogue: those of the package and those of the deployer."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from eventalarm.catalogue.entries import Entry, check_unique, read_list
from eventalarm.catalogue.faults import FanOut, Fault, FaultCatalogue
from eventalarm.model import FAULT_SEVERITIES, severity_word
from eventalarm.x733 import EventType, FaultyResourceType

FOLDER: Final = pathlib.Path(__file__).with_name("data")

REQUIRED: Final = (
    *("name", "description", "reported_by", "event_type", "probable_cause", "resource", "severity"),
    *("service_affecting", "repair_action", "detected_by"),
)
OPTIONAL: Final = ("fault_type", "cleared_by", "fan_out", "never_inhibited", "reference")
RESOURCE: Final = ("kind", "type", "traits")


def load(paths: Iterable[str | pathlib.Path] = ()) -> FaultCatalogue:
    """Return the catalogue of the package extended by the deployer's files *paths*.

    An entry replaces one of the same name in the package or in an earlier file.

    :raises BadFile: naming the file, the entry, the field and the remedy.
    """
    added: dict[str, Fault] = {}
    for path in paths:
        added |= {fault.name: fault for fault in read(pathlib.Path(path))}
    shipped = load_shipped()
    if not added:
        return shipped
    return FaultCatalogue([*added.values(), *(one for one in shipped.faults if one.name not in added)])


@functools.cache
def load_shipped() -> FaultCatalogue:
    """Return the catalogue of the package alone."""
    return FaultCatalogue(fault for path in sorted(FOLDER.glob("*.yaml")) for fault in read(path))


def read(path: pathlib.Path) -> tuple[Fault, ...]:
    """Return the entries of one file.

    :raises BadFile: naming the file, the entry, the field and the remedy.
    """
    found = read_list(path, "faults")
    faults = tuple(_fault(_entry(path, number, one)) for number, one in enumerate(found, 1))
    check_unique(path, (fault.name for fault in faults), "give each fault of a file its own name")
    return faults


def _entry(path: pathlib.Path, number: int, document: object) -> Entry:
    return Entry(path, f"fault {number}", document, REQUIRED)


def _fault(entry: Entry) -> Fault:
    entry.check_known(entry.document, (*REQUIRED, *OPTIONAL))
    resource = entry.mapping("resource", RESOURCE)
    return Fault(
        name=entry.name,
        description=entry.text("description"),
        reported_by=entry.conditions("reported_by"),
        event_type=EventType(entry.word("event_type", entry.text("event_type"), tuple(EventType))),
        probable_cause=entry.text("probable_cause"),
        severity=_severity(entry),
        service_affecting=entry.truth("service_affecting"),
        repair_action=entry.text("repair_action"),
        detected_by=entry.text("detected_by"),
        resource_kind=_kind(entry, resource),
        resource_type=entry.optional("resource.type", resource.get("type")),
        resource_traits=entry.texts("resource.traits", resource.get("traits")),
        fault_type=entry.optional("fault_type", entry.document.get("fault_type")),
        cleared_by=entry.conditions("cleared_by") if entry.document.get("cleared_by") else (),
        fan_out=FanOut(entry.word("fan_out", entry.document.get("fan_out", "none"), tuple(FanOut))),
        never_inhibited="never_inhibited" in entry.document and entry.truth("never_inhibited"),
        reference=entry.optional("reference", entry.document.get("reference")),
        file=entry.path.name,
    )


def _kind(entry: Entry, resource: Mapping[Any, Any]) -> FaultyResourceType | None:
    kind = resource.get("kind")
    known = tuple(FaultyResourceType)
    return None if kind is None else FaultyResourceType(entry.word("resource.kind", kind, known))


def _severity(entry: Entry) -> str:
    word = severity_word(entry.text("severity"))
    if word is None:
        found = entry.document["severity"]
        known = ", ".join(sorted(FAULT_SEVERITIES))
        raise entry.bad("severity", f"unknown value {found!r:.60}", f"use {known}")
    return word
