"""Time constraints: the boundaries of a window, and constraints that cannot be parsed."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from eventalarm.evaluator.time_constraints import within_time_constraints

NIGHT: dict[str, Any] = {"name": "night", "start": "0 22 * * *", "duration": 8 * 3600, "timezone": ""}
LUNCH: dict[str, Any] = {"name": "lunch", "start": "0 12 * * *", "duration": 3600, "timezone": "UTC"}


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(f"2026-05-0{text}+00:00")


@pytest.mark.parametrize(
    ("constraints", "moment", "answer"),
    [
        ([], "1 12:00:00", True),
        ([LUNCH], "1 11:59:59.999999", False),
        ([LUNCH], "1 12:00:00", True),
        ([LUNCH], "1 12:00:00.000001", True),
        ([LUNCH], "1 13:00:00", True),
        ([LUNCH], "1 13:00:00.000001", False),
        ([NIGHT], "1 23:30:00", True),
        ([NIGHT], "2 05:59:59", True),  # begun yesterday
        ([NIGHT], "2 06:00:01", False),
        ([LUNCH, NIGHT], "1 12:30:00", True),  # one is enough
        ([LUNCH, NIGHT], "1 15:00:00", False),
        ([{**LUNCH, "timezone": "Europe/Ljubljana"}], "1 10:30:00", True),
        ([{**LUNCH, "timezone": "Europe/Ljubljana"}], "1 12:30:00", False),
        ([{**LUNCH, "timezone": None}], "1 12:30:00", True),
        ([{**LUNCH, "start": "0 12 * * sat"}], "1 12:30:00", False),  # a Friday
        ([{**LUNCH, "start": "0 12 * * sat"}], "2 12:30:00", True),
        ([{**LUNCH, "duration": "3600"}], "1 12:30:00", True),
        # A constraint that cannot be parsed is not met, and does not affect the others.
        ([{**LUNCH, "timezone": "Mars/Olympus"}], "1 12:30:00", False),
        ([{**LUNCH, "timezone": "../../etc/passwd"}], "1 12:30:00", False),
        ([{**LUNCH, "timezone": 5}], "1 12:30:00", False),
        ([{**LUNCH, "start": "at noon"}], "1 12:30:00", False),
        ([{**LUNCH, "start": None}], "1 12:30:00", False),
        ([{**LUNCH, "start": "0 0 31 2 *"}], "1 12:30:00", False),  # there is no such day
        ([{**LUNCH, "duration": "long"}], "1 12:30:00", False),
        ([{**LUNCH, "duration": None}], "1 12:30:00", False),
        ([{**LUNCH, "duration": 1e300}], "1 12:30:00", False),
        ([{"name": "empty"}], "1 12:30:00", False),
        ([{"name": "empty"}, LUNCH], "1 12:30:00", True),
    ],
)
def test_within(constraints: list[dict[str, Any]], moment: str, answer: bool) -> None:
    assert within_time_constraints(constraints, at(moment)) is answer
