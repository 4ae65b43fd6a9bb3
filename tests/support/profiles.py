"""Builders of profiles: an alarm that took known times in each component."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from eventalarm.model import UTC, Checkpoint, Profile, Stage
from eventalarm.profile.summary import AlarmProfile, alarm_profile

BEGAN = datetime.datetime(2026, 5, 1, 12, tzinfo=UTC)
ZERO = BEGAN.timestamp()


def profile(*seconds: float, reporter: Sequence[Checkpoint] = (), publisher: str = "") -> Profile:
    """Return a profile with the stages at *seconds* after BEGAN, in order."""
    times = {stage: ZERO + at for stage, at in zip(Stage, seconds, strict=False)}
    return Profile(times, reporter, publisher)


def delivery_profile(
    *seconds: float, consumer: Sequence[Checkpoint] = (), alarm_name: str = "server-failed"
) -> AlarmProfile:
    """Return the profile of one delivery, made as :func:`profile` makes it."""
    names = {
        "delivery_id": "d-1",
        "alarm_id": "a-1",
        "alarm_name": alarm_name,
        "managed_object": "vm-1",
        "event_type": "compute.instance.update",
        "state": "delivered",
    }
    found = alarm_profile(names, profile(*seconds), consumer)
    assert found is not None
    return found
