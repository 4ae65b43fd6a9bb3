"""Policies: report a fault when several events with the same source arrive within a time. Pure."""

from __future__ import annotations

import dataclasses
import pathlib
import uuid
from collections.abc import Iterable, Mapping
from typing import Final

from eventalarm.catalogue.entries import Entry, check_unique, read_list
from eventalarm.catalogue.faults import Condition
from eventalarm.inspector.reports import FAULT_ID, RESOURCE_IDS, traits_of
from eventalarm.model import STRING, Event, JSONDict, make_body

# Namespace of the ids of reports. Never change it: an event that is delivered again keeps its report's id.
REPORTS: Final = uuid.UUID("7f0f4c0b-8d5b-5b0e-9a51-3c1d6e1d4a77")
# The trait of a report that names its policy; such an event counts for no policy.
POLICY: Final = "policy"
FIELDS: Final = ("name", "event", "traits", "by", "at_least", "within", "emit")
EMIT_FIELDS: Final = ("event", "traits")


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

    :raises BadFile: naming the file, the policy, the field and the remedy.
    """
    found: list[Policy] = []
    for path in map(pathlib.Path, paths):
        read = [_read(path, number, one) for number, one in enumerate(read_list(path, "policies"), 1)]
        found += read
        check_unique(path, (policy.name for policy in found), "give each policy a different name")
    return tuple(found)


def _read(path: pathlib.Path, number: int, document: object) -> Policy:
    entry = Entry(path, f"policy {number}", document, FIELDS)
    entry.check_known(entry.document, FIELDS)
    emit = entry.mapping("emit", EMIT_FIELDS)
    traits = entry.traits("traits", entry.document.get("traits"))
    return Policy(
        name=entry.name,
        conditions=tuple(Condition(one, traits) for one in entry.texts("event", entry.document.get("event"))),
        by=entry.text("by"),
        at_least=int(entry.number("at_least", 1, 1000)),
        within=entry.number("within", 1, 86400),
        emit=entry.non_empty("emit.event", emit.get("event")),
        emit_traits={name: values[0] for name, values in entry.traits("emit.traits", emit.get("traits"))},
    )
