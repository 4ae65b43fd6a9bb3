"""Whether a moment lies within an alarm's time constraints, as Aodh defines them."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Mapping, Sequence
from typing import Any, cast

import croniter


def _within(constraint: Mapping[str, Any], now: datetime.datetime) -> bool:
    timezone = constraint.get("timezone")
    local = now.astimezone(zoneinfo.ZoneInfo(timezone)) if timezone else now
    # A start that is exactly now counts as begun; croniter looks strictly before its base.
    starts = croniter.croniter(str(constraint["start"]), local + datetime.timedelta(seconds=1))
    start = cast(datetime.datetime, starts.get_prev(datetime.datetime))
    while start > local:
        start = cast(datetime.datetime, starts.get_prev(datetime.datetime))
    return local <= start + datetime.timedelta(seconds=float(constraint["duration"]))


def within_time_constraints(constraints: Sequence[Mapping[str, Any]], now: datetime.datetime) -> bool:
    """Tell whether *now* (aware) is within at least one of *constraints*; none at all means yes.

    A constraint that cannot be read (no such time zone, bad cron text) is treated as not met, since firing
    at a time that the tenant excluded is worse than what the same alarm without it would do at night.
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
