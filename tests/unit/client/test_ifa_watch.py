"""What ``openstack ifa alarm watch`` says of two looks at the alarms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventalarm.client.ifa_watch import Change, What, by_id, changes_between, document, first_changes, line


def alarm(alarm_id: str = "a", raised: str = "T1", **fields: Any) -> dict[str, Any]:
    base = {"managedObjectId": "vm", "faultType": "compute.x", "perceivedSeverity": "MAJOR"}
    return {"alarmId": alarm_id, "alarmRaisedTime": raised, **base, **fields}


OLD = alarm()
WORSE = alarm(perceivedSeverity="CRITICAL", alarmChangedTime="T3")
AGAIN = alarm(raised="T5")
OVER = alarm(perceivedSeverity="CLEARED", alarmChangedTime="T4", alarmClearedTime="T4")


@pytest.mark.parametrize(
    ("before", "now", "found", "expected"),
    [
        ([], [OLD], None, [(What.RAISED, "T1")]),
        ([OLD], [OLD], None, []),
        ([OLD], [WORSE], None, [(What.CHANGED, "T3")]),
        ([OLD], [AGAIN], None, [(What.RAISED, "T5")]),
        ([OLD], [], OVER, [(What.CLEARED, "T4")]),
        ([OLD], [], None, [(What.CLEARED, "")]),
        # It only left the filter.
        ([OLD], [], WORSE, [(What.CHANGED, "T3")]),
        ([OLD], [alarm("b", "T2")], OVER, [(What.RAISED, "T2"), (What.CLEARED, "T4")]),
    ],
)
def test_changes_between_two_looks(
    before: list[Any], now: list[Any], found: Any, expected: list[tuple[What, str]]
) -> None:
    listed = changes_between(by_id(before), by_id(now), lambda alarm_id: found)
    assert [(change.what, change.at) for change in listed] == expected


def test_the_first_look_lists_the_oldest_first() -> None:
    listed = first_changes(by_id([alarm("b", "T2"), alarm("a", "T1")]))
    assert [(change.what, change.alarm["alarmId"]) for change in listed] == [
        (What.ACTIVE, "a"),
        (What.ACTIVE, "b"),
    ]


def test_a_line_is_harmless_whatever_the_names_are() -> None:
    change = Change(What.RAISED, "T1", alarm(managedObjectId="vm\x1b]0;owned\x07\nvm"))
    assert (
        line(change, coloured=False) == f"{'T1':<27}  raised   {'MAJOR':<13}  vm?]0;owned??vm  compute.x  a"
    )
    assert line(change, coloured=True).count("\x1b") == 2
    assert json.loads(document(change))["alarm"] == change.alarm
