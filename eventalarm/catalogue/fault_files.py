"""Reads the files of the fault catalogue: those of the package and those of the deployer."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml

from eventalarm.catalogue.faults import Condition, FanOut, Fault, FaultCatalogue
from eventalarm.exceptions import EventAlarmError
from eventalarm.model import FAULT_SEVERITIES, severity_word
from eventalarm.x733 import EventType, FaultyResourceType

FOLDER: Final = pathlib.Path(__file__).with_name("data")
LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

REQUIRED: Final = (
    *("name", "description", "reported_by", "event_type", "probable_cause", "resource", "severity"),
    *("service_affecting", "repair_action", "detected_by"),
)
OPTIONAL: Final = ("fault_type", "cleared_by", "fan_out", "reference")
RESOURCE: Final = ("kind", "type", "traits")
CONDITION: Final = ("event", "traits")


class BadCatalogue(EventAlarmError):
    """A file of the fault catalogue is invalid; the message names the place and the remedy."""

    def __init__(self, file: pathlib.Path, entry: str, field: str, problem: str, remedy: str) -> None:
        place = ": ".join(part for part in (str(file), entry, field) if part)
        super().__init__(f"{place}: {problem}; {remedy}")
        self.file = file
        self.entry = entry
        self.field = field
        self.problem = f"{place}: {problem}"
        self.remedy = remedy


def load(paths: Iterable[str | pathlib.Path] = ()) -> FaultCatalogue:
    """Return the catalogue of the package extended by the deployer's files *paths*.

    An entry replaces one of the same name in the package or in an earlier file.

    :raises BadCatalogue: naming the file, the entry, the field and the remedy.
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

    :raises BadCatalogue: naming the file, the entry, the field and the remedy.
    """
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)  # noqa: S506 (a safe loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        problem = " ".join(str(exc).split())[:300]
        raise BadCatalogue(path, "", "", problem, "name a readable YAML file") from exc
    if found is None:
        return ()
    if not isinstance(found, list):
        raise BadCatalogue(
            path, "", "", f"is a {type(found).__name__}", "write a list of faults, each a mapping"
        )
    faults = tuple(_Entry(path, number, one).fault() for number, one in enumerate(found, 1))
    names = [fault.name for fault in faults]
    for name in names:
        if names.count(name) > 1:
            raise BadCatalogue(path, name, "name", "occurs twice", "give each fault of a file its own name")
    return faults


class _Entry:
    """One entry as parsed YAML; each method returns a valid value or raises BadCatalogue."""

    def __init__(self, path: pathlib.Path, number: int, document: object) -> None:
        self._path = path
        self._label = f"fault {number}"
        if not isinstance(document, Mapping):
            raise self._bad("", "is not a mapping", f"write the fields {', '.join(REQUIRED)}")
        self._document: Mapping[Any, Any] = document
        self._label = self._text("name")

    def fault(self) -> Fault:
        """Return the fault."""
        self._known(self._document, (*REQUIRED, *OPTIONAL), "")
        resource = self._mapping("resource", RESOURCE)
        return Fault(
            name=self._label,
            description=self._text("description"),
            reported_by=self._conditions("reported_by"),
            event_type=EventType(self._word("event_type", self._text("event_type"), tuple(EventType))),
            probable_cause=self._text("probable_cause"),
            severity=self._severity(),
            service_affecting=self._truth("service_affecting"),
            repair_action=self._text("repair_action"),
            detected_by=self._text("detected_by"),
            resource_kind=self._kind(resource),
            resource_type=self._optional("resource.type", resource.get("type")),
            resource_traits=self._texts("resource.traits", resource.get("traits")),
            fault_type=self._optional("fault_type", self._document.get("fault_type")),
            cleared_by=self._conditions("cleared_by") if self._document.get("cleared_by") else (),
            fan_out=FanOut(self._word("fan_out", self._document.get("fan_out", "none"), tuple(FanOut))),
            reference=self._optional("reference", self._document.get("reference")),
            file=self._path.name,
        )

    def _bad(self, field: str, problem: str, remedy: str) -> BadCatalogue:
        return BadCatalogue(self._path, self._label, field, problem, remedy)

    def _known(self, document: Mapping[Any, Any], known: tuple[str, ...], prefix: str) -> None:
        for name in document:
            if name not in known:
                raise self._bad(f"{prefix}{name}", "unknown field", f"use {', '.join(known)}")

    def _mapping(self, field: str, known: tuple[str, ...]) -> Mapping[Any, Any]:
        found = self._document.get(field)
        if not isinstance(found, Mapping):
            raise self._bad(field, "is not a mapping", f"write {{{', '.join(known)}}}")
        self._known(found, known, f"{field}.")
        return found

    def _text(self, field: str) -> str:
        found = self._document.get(field)
        if not isinstance(found, str) or not found.strip():
            problem = "is missing" if found is None else "must be a non-empty string"
            raise self._bad(field, problem, f"write text after {field}:")
        return " ".join(found.split())

    def _optional(self, field: str, found: object) -> str:
        if found is None:
            return ""
        if not isinstance(found, str) or not found.strip():
            raise self._bad(field, "must be a non-empty string", "write text or leave the field out")
        return found.strip()

    def _texts(self, field: str, found: object) -> tuple[str, ...]:
        listed = found if isinstance(found, list) else [found]
        if not listed or not all(isinstance(one, str) and one for one in listed):
            raise self._bad(field, "must be a string or a list of strings", "name at least one")
        return tuple(listed)

    def _word(self, field: str, found: object, known: tuple[str, ...]) -> str:
        if found not in known:
            raise self._bad(field, f"unknown value {found!r:.60}", f"use {', '.join(known)}")
        return str(found)

    def _kind(self, resource: Mapping[Any, Any]) -> FaultyResourceType | None:
        kind = resource.get("kind")
        known = tuple(FaultyResourceType)
        return None if kind is None else FaultyResourceType(self._word("resource.kind", kind, known))

    def _severity(self) -> str:
        word = severity_word(self._text("severity"))
        if word is None:
            found = self._document["severity"]
            raise self._bad(
                "severity", f"unknown value {found!r:.60}", f"use {', '.join(sorted(FAULT_SEVERITIES))}"
            )
        return word

    def _truth(self, field: str) -> bool:
        found = self._document.get(field)
        if not isinstance(found, bool):
            raise self._bad(field, "must be true or false", f"write {field}: true or {field}: false")
        return found

    def _conditions(self, field: str) -> tuple[Condition, ...]:
        """Read a list of ``{event, traits}``; each may also be just a pattern of event types."""
        given = self._document.get(field)
        listed = given if isinstance(given, list) else [given]
        found = [condition for number, one in enumerate(listed) for condition in self._of(one, field, number)]
        if not found:
            raise self._bad(field, "is empty", "name an event type")
        return tuple(found)

    def _of(self, given: object, field: str, number: int) -> list[Condition]:
        place = f"{field}[{number}]"
        if isinstance(given, str):
            given = {"event": given}
        if not isinstance(given, Mapping):
            raise self._bad(place, "is not a mapping", "write an event type, or {event: …, traits: {…}}")
        self._known(given, CONDITION, f"{place}.")
        traits = given.get("traits", {})
        if not isinstance(traits, Mapping) or not all(isinstance(name, str) for name in traits):
            raise self._bad(f"{place}.traits", "is not a mapping", "write {trait: value or list of values}")
        values = tuple(
            (name, self._values(f"{place}.traits.{name}", value)) for name, value in traits.items()
        )
        return [Condition(one, values) for one in self._texts(f"{place}.event", given.get("event"))]

    def _values(self, field: str, given: object) -> tuple[str, ...]:
        listed = given if isinstance(given, list) else [given]
        if not listed or not all(isinstance(one, str | int | float) for one in listed):
            raise self._bad(field, "must be a value or a list of values", "write strings or numbers")
        return tuple(str(one) for one in listed)
