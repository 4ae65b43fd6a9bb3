"""Time constraints mean what they mean for Aodh's other alarms, except in the minute before a start."""

from __future__ import annotations

import datetime
import types
import zoneinfo
from typing import Any
from unittest import mock

import croniter
import hypothesis
from aodh import evaluator as aodh_evaluator
from hypothesis import strategies as st

from eventalarm.evaluator.time_constraints import within_time_constraints
from tests.property import examples

UTC = datetime.UTC
MINUTE = datetime.timedelta(seconds=60)
ZONES = ["", "UTC", "Europe/Ljubljana", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
FIELDS = (
    st.sampled_from(["*", "0", "30", "15,45", "*/20", "59"]),
    st.sampled_from(["*", "0", "2", "3", "1-5", "*/6", "23"]),
    st.sampled_from([*["*"] * 6, "1", "29", "31"]),
    st.sampled_from([*["*"] * 6, "3", "10", "2"]),
    st.sampled_from([*["*"] * 4, "1-5", "0", "sun"]),
)
constraints = st.fixed_dictionaries(
    {
        "name": st.just("a window"),
        "start": st.tuples(*FIELDS).map(" ".join),
        "duration": st.sampled_from([0, 1, 60, 600, 3600, 7200, 86400]),
        "timezone": st.sampled_from(ZONES),
    }
)
# Around both changes of the clocks, in both hemispheres, and anywhere else.
BASES = [datetime.datetime(2026, *day) for day in ((3, 28), (10, 24), (4, 4), (1, 1), (2, 28), (7, 15))]
moments = st.builds(
    lambda base, minutes, micros: base + datetime.timedelta(minutes=minutes, microseconds=micros),
    st.sampled_from(BASES),
    st.integers(0, 2880),
    st.sampled_from([0, 0, 1, 30_000_000, 59_999_999]),
)


def aodh_says(time_constraints: list[dict[str, Any]], now: datetime.datetime) -> bool | None:
    """Aodh's answer, with its clock held at *now*; None when it raises (a date that never comes)."""
    alarm = types.SimpleNamespace(time_constraints=time_constraints)
    with mock.patch.object(aodh_evaluator.timeutils, "utcnow", return_value=now):
        try:
            return bool(aodh_evaluator.Evaluator.within_time_constraint(alarm))
        except croniter.CroniterError:
            return None


def just_before_a_start(time_constraints: list[dict[str, Any]], now: datetime.datetime) -> bool:
    """Whether a window opens within the next minute, where Aodh's test is coarse."""
    soon = now + MINUTE
    return any(within_time_constraints([c | {"duration": 60}], soon) for c in time_constraints)


@hypothesis.given(st.lists(constraints, min_size=1, max_size=2), moments)
@examples(400)
def test_windows_are_those_of_aodh(time_constraints: list[dict[str, Any]], naive: datetime.datetime) -> None:
    now = naive.replace(tzinfo=UTC)
    ours = within_time_constraints(time_constraints, now)
    theirs = aodh_says(time_constraints, now)
    hypothesis.event(f"within: {ours}")
    if theirs is not None and ours != theirs:
        # Aodh takes the minute around a start for the start; the tenant said when the window opens.
        assert (ours, theirs) == (False, True)
        assert just_before_a_start(time_constraints, now) or all(c["duration"] < 60 for c in time_constraints)


@hypothesis.given(
    st.integers(0, 23), st.integers(0, 59), st.integers(0, 86399), st.sampled_from(ZONES), moments
)
@examples(200)
def test_a_daily_window_opens_and_closes_on_the_second(
    hour: int, minute: int, duration: int, zone: str, naive: datetime.datetime
) -> None:
    """Against arithmetic instead of cron, away from days on which the clocks change."""
    tz = zoneinfo.ZoneInfo(zone) if zone else UTC
    now = naive.replace(tzinfo=UTC)
    local = now.astimezone(tz)
    days = [local + datetime.timedelta(days=n) for n in (-2, -1, 0, 1)]
    hypothesis.assume(len({day.utcoffset() for day in days}) == 1)
    start = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if start > local:
        start -= datetime.timedelta(days=1)
    constraint = {"start": f"{minute} {hour} * * *", "duration": duration, "timezone": zone}
    expected = (local - start).total_seconds() <= duration
    assert within_time_constraints([constraint], now) is expected
