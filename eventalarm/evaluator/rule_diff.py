"""Compares the changes that a draft of a rule would have made with those that were made. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections import Counter
from collections.abc import Iterable

from eventalarm.model import TIMER_EVENT_TYPE


class MadeBy(enum.StrEnum):
    """Which of both made a change."""

    BOTH = "both"
    DRAFT = "draft"
    PRESENT = "present"


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A transition of an alarm; ``webhooks`` are the actions that it called, without secrets."""

    at: datetime.datetime
    kind: str
    managed_object: str
    message_id: str
    event_type: str
    previous: str
    current: str
    severity: str | None
    webhooks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """A change and who made it; with both, it is that of the draft, and the present rule called *before*."""

    made_by: MadeBy
    change: Change
    before: tuple[str, ...] = ()


Key = tuple[str, str, str, int]


def compare(draft: Iterable[Change], present: Iterable[Change]) -> list[Difference]:
    """Return all changes in the order of their times, and which of both made each.

    Changes are the same if the same event made the same kind of change to the same object. A change by a
    timer has no event of its own: the first of an object is compared with the first, and so on.
    """
    ours, theirs = _by_key(draft), _by_key(present)
    found = [
        Difference(MadeBy.BOTH, change, theirs[key].webhooks)
        if key in theirs
        else Difference(MadeBy.DRAFT, change)
        for key, change in ours.items()
    ]
    found += [Difference(MadeBy.PRESENT, change) for key, change in theirs.items() if key not in ours]
    return sorted(found, key=lambda one: one.change.at)


def _by_key(changes: Iterable[Change]) -> dict[Key, Change]:
    numbers: Counter[tuple[str, str, str]] = Counter()
    found: dict[Key, Change] = {}
    for change in sorted(changes, key=lambda one: one.at):
        by_timer = change.event_type.startswith(TIMER_EVENT_TYPE)
        cause = change.event_type if by_timer else change.message_id
        place = (cause, change.managed_object, change.kind)
        found[*place, numbers[place]] = change
        numbers[place] += 1
    return found
