"""The time constraints of alarms: when an alarm may change its state. Pure."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Mapping, Sequence
from typing import Any, cast

import croniter


def _within(constraint: Mapping[str, Any], now: datetime.datetime) -> bool:
    timezone = constraint.get("timezone")
    local = now.astimezone(zoneinfo.ZoneInfo(timezone)) if timezone else now
    # A constraint that starts exactly now has started, but croniter searches strictly before its base.
    starts = croniter.croniter(str(constraint["start"]), local + datetime.timedelta(seconds=1))
    start = cast(datetime.datetime, starts.get_prev(datetime.datetime))
    while start > local:
        start = cast(datetime.datetime, starts.get_prev(datetime.datetime))
    return local <= start + datetime.timedelta(seconds=float(constraint["duration"]))


def within_time_constraints(constraints: Sequence[Mapping[str, Any]], now: datetime.datetime) -> bool:
    """Return True if *now* (aware) is within at least one of *constraints*, or if there are none.

    A constraint that cannot be read (unknown time zone, invalid cron expression) is not met: firing at a
    time that the tenant excluded would be worse than not firing.
    """
    if not constraints:
        return True
    for constraint in constraints:
        try:
            if _within(constraint, now):
                return True
        except (KeyError, ValueError, TypeError, OverflowError, zoneinfo.ZoneInfoNotFoundError):
            continue
    return False
