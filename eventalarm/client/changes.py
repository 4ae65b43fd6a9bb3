"""The differences between two polls of the active alarms, without I/O."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Document = dict[str, Any]


class What(enum.StrEnum):
    """What happened to an alarm since the last poll."""

    ACTIVE = "active"
    RAISED = "raised"
    CHANGED = "changed"
    CLEARED = "cleared"


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One alarm as it is now and what happened to it; ``at`` is the service's RFC 3339 time."""

    what: What
    at: str
    alarm: Document


def by_id(alarms: Iterable[Document]) -> dict[str, Document]:
    """Return the alarms of a poll by id."""
    return {alarm["alarmId"]: alarm for alarm in alarms}


def first(alarms: Mapping[str, Document]) -> list[Change]:
    """Return the alarms of the first poll as changes, the oldest first."""
    found = [Change(What.ACTIVE, alarm["alarmRaisedTime"], alarm) for alarm in alarms.values()]
    return sorted(found, key=lambda change: change.at)


def changes(
    before: Mapping[str, Document],
    now: Mapping[str, Document],
    find: Callable[[str], Document | None],
) -> list[Change]:
    """Return the differences between two polls in the order in which they happened.

    *find* returns an alarm that is no longer active, or None if it no longer exists.
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
            # It no longer matches the filter, but is still active.
            found.append(_changed(alarm))
        else:
            found.append(Change(What.CLEARED, alarm.get("alarmClearedTime", ""), alarm))
    return sorted(found, key=lambda change: change.at)


def _changed(alarm: Document) -> Change:
    return Change(What.CHANGED, alarm.get("alarmChangedTime") or alarm["alarmRaisedTime"], alarm)
