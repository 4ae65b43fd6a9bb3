"""What is read at once for any number of occurrences, and with which each is mapped to an alarm."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from eventalarm.ifa_shim.alarm import IfaAlarm
from eventalarm.ifa_shim.aodh_history import RULE_CHANGE, AodhAlarm, Record, read_records
from eventalarm.ifa_shim.mapping import alarm_id_of, from_occurrence
from eventalarm.ifa_shim.occurrences import OccurrenceView
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import Kind, Occurrence, Transition
from eventalarm.storage.occurrence_details import Document, OccurrenceDetails

# Stands for all projects in the place of an id.
EVERYONE: Final = None


@dataclasses.dataclass(frozen=True)
class Related:
    """Read at once for any number of occurrences; maps an occurrence to the alarm that consumers see.

    ``transitions`` are by occurrence id, ``records`` by Aodh's alarm id, ``correlated`` the ids of the alarms
    that one fault raised in one project, by ``fault_key`` and project id (``EVERYONE``: in all projects).
    ``objects`` are those in fault now, of alarms with ``at_least``, by Aodh's alarm id and managed object.
    """

    settings: Settings
    transitions: Mapping[str, Sequence[Transition]]
    records: Mapping[str, Sequence[Record]]
    correlated: Mapping[tuple[str, str | None], Sequence[str]]
    objects: Mapping[tuple[str, str], Sequence[str]] = dataclasses.field(default_factory=dict)

    def alarm(
        self,
        occurrence: Occurrence,
        row: AodhAlarm | None,
        transitions: Sequence[Transition] | None = None,
        view: OccurrenceView | None = None,
    ) -> IfaAlarm:
        """Return the alarm of one occurrence; *row* is Aodh's, None once it was deleted.

        *transitions* stand in for those read, if given; *view* is the occurrence at an earlier moment.
        """
        if transitions is None:
            transitions = self.transitions.get(occurrence.occurrence_id, ())
        fault = next((t.fault_key for t in transitions if t.kind is Kind.RAISED), "")
        correlated = self.correlated.get((fault, occurrence.project_id), ())
        return from_occurrence(
            occurrence,
            transitions,
            row,
            self.settings,
            edits=self.records.get(occurrence.alarm_id, ()),
            correlated=correlated or self.correlated.get((fault, EVERYONE), ()),
            view=view,
            objects=self._objects(occurrence, transitions),
        )

    def _objects(self, occurrence: Occurrence, transitions: Sequence[Transition]) -> Sequence[str]:
        """Return the objects in fault now, or after the last transition if that is not known."""
        found = self.objects.get((occurrence.alarm_id, occurrence.managed_object))
        last = max(transitions, key=lambda t: t.recorded_at, default=None)
        return found or (last.objects if last is not None else None) or ()


def transitions_of(
    details: OccurrenceDetails, occurrence_ids: Collection[str]
) -> dict[str, list[Transition]]:
    """Return the transitions that raised and cleared each occurrence, by its id."""
    found: dict[str, list[Transition]] = {}
    for transition in details.turning_points(occurrence_ids):
        found.setdefault(transition.occurrence_id, []).append(transition)
    return found


def records_of(
    details: OccurrenceDetails, *, edited: Collection[str] = (), others: Collection[str] = ()
) -> dict[str, list[Record]]:
    """Return Aodh's history, by its alarm ids: the edits of *edited*, everything of *others*."""
    found: dict[str, list[Document]] = {}
    for stored in [*details.records(others), *details.records(edited, [RULE_CHANGE])]:
        found.setdefault(stored["alarm_id"], []).append(stored)
    return {alarm_id: read_records(bodies)[0] for alarm_id, bodies in found.items()}


def correlated_by(
    details: OccurrenceDetails, faults: Collection[str], projects: Collection[str] | None, settings: Settings
) -> dict[tuple[str, str | None], list[str]]:
    """Return the alarms that each fault raised in each of *projects*; None: in all, under ``EVERYONE``."""
    found: dict[tuple[str, str | None], list[str]] = {}
    for stored in details.correlated(faults, projects):
        rule = stored["rule"] if isinstance(stored["rule"], dict) else {}
        alarm_id = alarm_id_of(stored["alarm_id"], stored["managed_object"], rule, settings)
        project_id = EVERYONE if projects is None else stored["project_id"]
        found.setdefault((stored["fault"], project_id), []).append(alarm_id)
    return found


def faults_of(transitions: Mapping[str, Sequence[Transition]]) -> set[str]:
    """Return the keys of the faults that raised occurrences."""
    return {t.fault_key for found in transitions.values() for t in found if t.kind is Kind.RAISED}
