"""Policies: report a fault when several events with the same source arrive within a time. Pure."""

from __future__ import annotations

import dataclasses
import pathlib
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml

from eventalarm.catalogue.faults import Condition
from eventalarm.exceptions import EventAlarmError
from eventalarm.inspector.reports import FAULT_ID, RESOURCE_IDS, traits_of
from eventalarm.model import STRING, Event, JSONDict, make_body

# Namespace of the ids of reports. Never change it: an event that is delivered again keeps its report's id.
REPORTS: Final = uuid.UUID("7f0f4c0b-8d5b-5b0e-9a51-3c1d6e1d4a77")
# The trait of a report that names its policy; such an event counts for no policy.
POLICY: Final = "policy"
FIELDS: Final = ("name", "event", "traits", "by", "at_least", "within", "emit")
EMIT_FIELDS: Final = ("event", "traits")


class BadPolicy(EventAlarmError):
    """A policy file is invalid; the message names the file, the policy, the field and the remedy."""

    def __init__(self, path: str, policy: str, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {policy}: {problem}; {remedy}")


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """At least ``at_least`` events of the ``conditions`` with the same trait ``by`` in ``within`` seconds.

    Then an event of type ``emit`` with ``emit_traits`` is published; it belongs to no project.
    """

    name: str
    conditions: tuple[Condition, ...]
    by: str
    at_least: int
    within: float
    emit: str
    emit_traits: Mapping[str, str]

    def source_of(self, event: Event) -> str:
        """Return the source that the event counts for, its trait ``by``; empty if it does not count."""
        if event.first_trait((POLICY, FAULT_ID, *RESOURCE_IDS)):
            return ""
        traits = traits_of(event)
        if not any(condition.holds(event.event_type, traits) for condition in self.conditions):
            return ""
        return event.first_trait((self.by,))

    def report(self, event: Event, source: str) -> JSONDict:
        """Return the report to publish when *event* completes the required number."""
        values = {self.by: source, **self.emit_traits, POLICY: self.name}
        return make_body(
            str(uuid.uuid5(REPORTS, f"{self.name}/{event.message_id}")),
            self.emit,
            event.body.get("generated"),
            ((name, STRING, value) for name, value in values.items()),
        )


def load(paths: Iterable[str]) -> tuple[Policy, ...]:
    """Return the policies of YAML files, each of which is a list of mappings with the fields of FIELDS.

    :raises BadPolicy: naming the file, the policy, the field and the remedy.
    """
    found = [policy for path in paths for policy in _read(path)]
    for policy in found:
        if sum(other.name == policy.name for other in found) > 1:
            raise BadPolicy(
                "policies", policy.name, "the name is not unique", "give each policy a different name"
            )
    return tuple(found)


def _read(path: str) -> list[Policy]:
    try:
        documents = yaml.safe_load(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        problem = " ".join(str(exc).split())[:300]
        raise BadPolicy(path, "file", problem, "name a readable file of YAML") from exc
    if not isinstance(documents, list):
        raise BadPolicy(path, "file", "must be a list", f"write a list of mappings with {', '.join(FIELDS)}")
    return [_Reader(path, number, one).policy() for number, one in enumerate(documents, 1)]


class _Reader:
    """Reads one policy; every method returns a valid value or raises BadPolicy."""

    def __init__(self, path: str, number: int, document: object) -> None:
        self._path = path
        self._label = f"policy {number}"
        if not isinstance(document, Mapping):
            raise self._bad("must be a mapping", f"write {', '.join(FIELDS)}")
        self._document: Mapping[Any, Any] = document
        self._label = self._text("name", document.get("name"))

    def policy(self) -> Policy:
        """Return the policy."""
        self._known(self._document, FIELDS, "")
        emit = self._document.get("emit")
        if not isinstance(emit, Mapping):
            raise self._bad("emit must be a mapping", "write emit: {event: TYPE, traits: {...}}")
        self._known(emit, EMIT_FIELDS, "emit.")
        return Policy(
            name=self._label,
            conditions=self._conditions(),
            by=self._text("by", self._document.get("by")),
            at_least=int(self._number("at_least", 1, 1000)),
            within=self._number("within", 1, 86400),
            emit=self._text("emit.event", emit.get("event")),
            emit_traits={name: values[0] for name, values in self._traits("emit.traits", emit.get("traits"))},
        )

    def _bad(self, problem: str, remedy: str) -> BadPolicy:
        return BadPolicy(self._path, self._label, problem, remedy)

    def _known(self, document: Mapping[Any, Any], known: tuple[str, ...], prefix: str) -> None:
        for name in document:
            if name not in known:
                raise self._bad(f"unknown field {prefix}{name}", f"use {', '.join(known)}")

    def _text(self, field: str, found: object) -> str:
        if not isinstance(found, str) or not found.strip():
            raise self._bad(f"{field} must be a non-empty string", f"write {field}")
        return found.strip()

    def _number(self, field: str, least: int, most: int) -> float:
        found = self._document.get(field)
        if isinstance(found, bool) or not isinstance(found, int | float) or not least <= found <= most:
            raise self._bad(f"{field} must be a number from {least} to {most}", f"correct {field}")
        return float(found)

    def _conditions(self) -> tuple[Condition, ...]:
        given = self._document.get("event")
        listed = given if isinstance(given, list) else [given]
        traits = self._traits("traits", self._document.get("traits"))
        return tuple(Condition(self._text("event", one), traits) for one in listed)

    def _traits(self, field: str, given: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
        if given is None:
            return ()
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise self._bad(f"{field} must be a mapping", "write {trait: value or list of values}")
        return tuple((name, self._values(f"{field}.{name}", value)) for name, value in given.items())

    def _values(self, field: str, given: object) -> tuple[str, ...]:
        listed = given if isinstance(given, list) else [given]
        if not listed or not all(isinstance(one, str | int | float) for one in listed):
            raise self._bad(f"{field} must be a value or a list of values", "write texts or numbers")
        return tuple(str(one) for one in listed)
