"""Reads YAML files that are lists of entries: the fault catalogue, and the policies of the inspector."""

from __future__ import annotations

import pathlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import yaml

from eventalarm.catalogue.faults import Condition
from eventalarm.exceptions import EventAlarmError

LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CONDITION: Final = ("event", "traits")

Traits = tuple[tuple[str, tuple[str, ...]], ...]


class BadFile(EventAlarmError):
    """A file is invalid; the message names the file, the entry, the field and the remedy."""

    def __init__(self, file: pathlib.Path, entry: str, field: str, problem: str, remedy: str) -> None:
        place = ": ".join(part for part in (str(file), entry, field) if part)
        super().__init__(f"{place}: {problem}; {remedy}")
        self.file = file
        self.entry = entry
        self.field = field
        self.problem = f"{place}: {problem}"
        self.remedy = remedy


def read_list(path: pathlib.Path, what: str) -> list[Any]:
    """Return the entries of a file, none if it is empty; *what* they are, in the plural.

    :raises BadFile: when it cannot be read, or is not a list in YAML.
    """
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)  # noqa: S506 (a safe loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        problem = " ".join(str(exc).split())[:300]
        raise BadFile(path, "", "", problem, "name a readable YAML file") from exc
    if found is None:
        return []
    if not isinstance(found, list):
        kind = type(found).__name__
        raise BadFile(path, "", "", f"is a {kind}", f"write a list of {what}, each a mapping")
    return found


def check_unique(path: pathlib.Path, names: Iterable[str], remedy: str) -> None:
    """Check that the entries of a file have distinct names.

    :raises BadFile: naming the first one that occurs twice.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadFile(path, name, "name", "occurs twice", remedy)
        seen.add(name)


class Entry:
    """One entry as parsed YAML; each method returns a valid value or raises BadFile.

    :param label: names the entry in errors until its ``name`` is read.
    :param required: the fields that an entry must have, which an error lists.
    """

    def __init__(self, path: pathlib.Path, label: str, document: object, required: Iterable[str]) -> None:
        self.path = path
        self._label = label
        if not isinstance(document, Mapping):
            raise self.bad("", "is not a mapping", f"write the fields {', '.join(required)}")
        self.document: Mapping[Any, Any] = document
        self._label = self.name = self.text("name")

    def bad(self, field: str, problem: str, remedy: str) -> BadFile:
        """Return an error about a field of this entry."""
        return BadFile(self.path, self._label, field, problem, remedy)

    def check_known(self, document: Mapping[Any, Any], known: Collection[str], prefix: str = "") -> None:
        """Check that a mapping has no other fields than *known*."""
        for name in document:
            if name not in known:
                raise self.bad(f"{prefix}{name}", "unknown field", f"use {', '.join(known)}")

    def mapping(self, field: str, known: Collection[str]) -> Mapping[Any, Any]:
        """Return the mapping at *field*, whose fields are *known*."""
        found = self.document.get(field)
        if not isinstance(found, Mapping):
            raise self.bad(field, "is not a mapping", f"write {{{', '.join(known)}}}")
        self.check_known(found, known, f"{field}.")
        return found

    def text(self, field: str) -> str:
        """Return the text at *field*, with runs of blanks as one."""
        return self.non_empty(field, self.document.get(field))

    def non_empty(self, field: str, found: object) -> str:
        """Return *found*, the value of *field*, as text with runs of blanks as one."""
        if not isinstance(found, str) or not found.strip():
            problem = "is missing" if found is None else "must be a non-empty string"
            raise self.bad(field, problem, f"write text after {field}:")
        return " ".join(found.split())

    def optional(self, field: str, found: object) -> str:
        """Return *found*, the value of *field*, as text; empty if it is absent."""
        if found is None:
            return ""
        if not isinstance(found, str) or not found.strip():
            raise self.bad(field, "must be a non-empty string", "write text or leave the field out")
        return found.strip()

    def texts(self, field: str, found: object) -> tuple[str, ...]:
        """Return *found*, the value of *field*: a text or a list of texts."""
        listed = found if isinstance(found, list) else [found]
        if not listed or not all(isinstance(one, str) and one for one in listed):
            raise self.bad(field, "must be a string or a list of strings", "name at least one")
        return tuple(listed)

    def word(self, field: str, found: object, known: Collection[str]) -> str:
        """Return *found*, the value of *field*, which must be one of *known*."""
        if found not in known:
            raise self.bad(field, f"unknown value {found!r:.60}", f"use {', '.join(known)}")
        return str(found)

    def truth(self, field: str) -> bool:
        """Return the value of *field*, true or false."""
        found = self.document.get(field)
        if not isinstance(found, bool):
            raise self.bad(field, "must be true or false", f"write {field}: true or {field}: false")
        return found

    def number(self, field: str, least: int, most: int) -> float:
        """Return the number at *field*, within the bounds."""
        found = self.document.get(field)
        if isinstance(found, bool) or not isinstance(found, int | float) or not least <= found <= most:
            raise self.bad(field, f"must be a number from {least} to {most}", f"correct {field}")
        return float(found)

    def conditions(self, field: str) -> tuple[Condition, ...]:
        """Return a list of ``{event, traits}``; each may also be just a pattern of event types."""
        given = self.document.get(field)
        listed = given if isinstance(given, list) else [given]
        found = [condition for number, one in enumerate(listed) for condition in self._of(one, field, number)]
        if not found:
            raise self.bad(field, "is empty", "name an event type")
        return tuple(found)

    def _of(self, given: object, field: str, number: int) -> list[Condition]:
        place = f"{field}[{number}]"
        if isinstance(given, str):
            given = {"event": given}
        if not isinstance(given, Mapping):
            raise self.bad(place, "is not a mapping", "write an event type, or {event: …, traits: {…}}")
        self.check_known(given, CONDITION, f"{place}.")
        traits = self.traits(f"{place}.traits", given.get("traits"))
        return [Condition(one, traits) for one in self.texts(f"{place}.event", given.get("event"))]

    def traits(self, field: str, given: object) -> Traits:
        """Return *given*, the value of *field*: a mapping from traits to a value or a list of values."""
        if given is None:
            return ()
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise self.bad(field, "is not a mapping", "write {trait: value or list of values}")
        return tuple((name, self._values(f"{field}.{name}", value)) for name, value in given.items())

    def _values(self, field: str, given: object) -> tuple[str, ...]:
        listed = given if isinstance(given, list) else [given]
        if not listed or not all(isinstance(one, str | int | float) for one in listed):
            raise self.bad(field, "must be a value or a list of values", "write strings or numbers")
        return tuple(str(one) for one in listed)
