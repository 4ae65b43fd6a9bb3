"""What changed between two looks at the active alarms. Pure."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Document = dict[str, Any]


class What(enum.StrEnum):
    """What became of an alarm since the last look."""

    ACTIVE = "active"
    RAISED = "raised"
    CHANGED = "changed"
    CLEARED = "cleared"


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One alarm, as it is now, and what became of it; ``at`` is when, as the service says."""

    what: What
    at: str
    alarm: Document


def by_id(alarms: Iterable[Document]) -> dict[str, Document]:
    """Return the alarms of a look under their ids."""
    return {alarm["alarmId"]: alarm for alarm in alarms}


def first(alarms: Mapping[str, Document]) -> list[Change]:
    """Return what there is to say at the first look, the oldest alarm first."""
    found = [Change(What.ACTIVE, alarm["alarmRaisedTime"], alarm) for alarm in alarms.values()]
    return sorted(found, key=lambda change: change.at)


def changes(
    before: Mapping[str, Document],
    now: Mapping[str, Document],
    find: Callable[[str], Document | None],
) -> list[Change]:
    """Return what changed from one look to the next in the order in which it happened.

    *find* returns an alarm that is not active any more, None when nothing is left of it.
    """
    found = []
    for alarm_id, alarm in now.items():
        old = before.get(alarm_id)
        if old is None or old["alarmRaisedTime"] != alarm["alarmRaisedTime"]:
            found.append(Change(What.RAISED, alarm["alarmRaisedTime"], alarm))
        elif old != alarm:
            found.append(_changed(alarm))
    for alarm_id in before.keys() - now.keys():
        alarm = find(alarm_id) or before[alarm_id]
        if "alarmClearedTime" not in alarm and alarm is not before[alarm_id]:
            # It does not fit the filter any more, but it is not over.
            found.append(_changed(alarm))
        else:
            found.append(Change(What.CLEARED, alarm.get("alarmClearedTime", ""), alarm))
    return sorted(found, key=lambda change: change.at)


def _changed(alarm: Document) -> Change:
    return Change(What.CHANGED, alarm.get("alarmChangedTime") or alarm["alarmRaisedTime"], alarm)
