"""What belongs to a set of occurrences: their transitions, Aodh's history and the correlated alarms."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

from eventalarm.ifa_shim.alarm import IfaAlarm
from eventalarm.ifa_shim.aodh_history import RULE_CHANGE, AodhAlarm, Record, read_records
from eventalarm.ifa_shim.mapping import alarm_id_of, from_occurrence
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import Kind, Occurrence, Transition
from eventalarm.storage.occurrence_details import Document, OccurrenceDetails


@dataclasses.dataclass(frozen=True)
class Related:
    """Read at once for any number of occurrences; maps an occurrence to the alarm that consumers see.

    ``transitions`` are by occurrence id, ``records`` by Aodh's alarm id, ``correlated`` the ids of the alarms
    that one event raised in one project, by message and project id.
    """

    settings: Settings
    transitions: Mapping[str, Sequence[Transition]]
    records: Mapping[str, Sequence[Record]]
    correlated: Mapping[tuple[str, str], Sequence[str]]

    def alarm(
        self,
        occurrence: Occurrence,
        row: AodhAlarm | None,
        transitions: Sequence[Transition] | None = None,
    ) -> IfaAlarm:
        """Return the alarm of one occurrence; *row* is Aodh's, None once it was deleted.

        *transitions* stand in for those read, if given.
        """
        if transitions is None:
            transitions = self.transitions.get(occurrence.occurrence_id, ())
        raising = next((t.event.message_id for t in transitions if t.kind is Kind.RAISED), "")
        return from_occurrence(
            occurrence,
            transitions,
            row,
            self.settings,
            edits=self.records.get(occurrence.alarm_id, ()),
            correlated=self.correlated.get((raising, occurrence.project_id), ()),
        )


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
    details: OccurrenceDetails, message_ids: Collection[str], settings: Settings
) -> dict[tuple[str, str], list[str]]:
    """Return the alarms that each event raised in each project; never those of another project."""
    found: dict[tuple[str, str], list[str]] = {}
    for stored in details.correlated(message_ids):
        rule = stored["rule"] if isinstance(stored["rule"], dict) else {}
        alarm_id = alarm_id_of(stored["alarm_id"], stored["managed_object"], rule, settings)
        found.setdefault((stored["message_id"], stored["project_id"]), []).append(alarm_id)
    return found
