"""Counts matches within a period, for rules with ``count``. Pure functions on frozen objects.

The count of a managed object is that of the matches after its latest clear whose time is less than ``within``
seconds before the newest one. Matches count by the times of the events, so their order of arrival does not
matter, and each message counts once. Only the newest ``at_least`` matches are kept: if these are within the
period, the alarm is raised, and no older match can change that.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from eventalarm.model import JSONDict, Occurrence

# The largest ``at_least``: it limits the size of the row that each match rewrites.
MOST_MATCHES: Final = 100
# Seconds by which events may arrive late and still be counted together with earlier ones.
LATENESS: Final = 3600.0
KEY_BYTES: Final = 12


@dataclasses.dataclass(frozen=True, slots=True)
class Threshold:
    """The ``count`` of a rule: *at_least* matches *within* a number of seconds."""

    at_least: int
    within: float

    @property
    def retention(self) -> float:
        """Seconds after the latest match for which the matches are kept."""
        return self.within + LATENESS


class CountedMatch(NamedTuple):
    """One match that counts: the time of the event (aware UTC) and a hash of its message id."""

    time: datetime.datetime
    key: str


@dataclasses.dataclass(frozen=True, slots=True)
class Matches:
    """The newest matches of one managed object, oldest first.

    Matches up to ``since`` are spent: the occurrence that they raised was cleared by a timer.
    """

    newest: tuple[CountedMatch, ...] = ()
    since: datetime.datetime | None = None

    @classmethod
    def load(cls, document: Mapping[str, Any] | None) -> Matches:
        """Read what :meth:`document` returned; nothing was counted if it is None."""
        if not document:
            return cls()
        newest = tuple(CountedMatch(_time(time), key) for time, key in document["matches"])
        return cls(newest, _time(document["since"]) if document.get("since") else None)

    def document(self) -> JSONDict:
        """Return a JSON object for the database."""
        return {
            "matches": [[match.time.isoformat(), match.key] for match in self.newest],
            "since": self.since.isoformat() if self.since is not None else None,
        }

    def has(self, message_key: str) -> bool:
        """Return True if the message was counted already."""
        key = _hash(message_key)
        return any(match.key == key for match in self.newest)

    def add(self, time: datetime.datetime, message_key: str, most: int) -> Matches:
        """Return the newest *most* matches including this one."""
        if self.since is not None and time <= self.since:
            return self
        found = sorted((*self.newest, CountedMatch(time, _hash(message_key))), key=lambda match: match.time)
        return dataclasses.replace(self, newest=tuple(found[-most:]))

    def after(self, time: datetime.datetime) -> Matches:
        """Return the matches that are newer than a clear at *time*."""
        return dataclasses.replace(self, newest=tuple(match for match in self.newest if match.time > time))

    def spent(self) -> Matches:
        """Return what remains when a timer has cleared the occurrence: every match must be newer."""
        return Matches((), self.newest[-1].time) if self.newest else self

    def reaches(self, threshold: Threshold) -> bool:
        """Return True if there are enough matches within the period that ends with the newest one."""
        if len(self.newest) < threshold.at_least:
            return False
        first, last = self.newest[-threshold.at_least].time, self.newest[-1].time
        return (last - first).total_seconds() <= threshold.within


@dataclasses.dataclass(frozen=True, slots=True)
class Counting:
    """The effect of one match on the count.

    ``event_time`` is the time that the occurrence gets: a clear that is older cannot break the count.
    ``repeated``: the message was counted already. ``enough``: the threshold is reached.
    """

    matches: Matches
    event_time: datetime.datetime
    repeated: bool
    enough: bool


def count_match(
    known: Matches,
    threshold: Threshold,
    event_time: datetime.datetime,
    message_key: str,
    occurrence: Occurrence | None,
) -> Counting:
    """Count a match.

    A match that is older than the latest clear does not count.

    :param occurrence: the latest occurrence on the managed object.
    """
    if known.has(message_key):
        return Counting(known, event_time, repeated=True, enough=False)
    raised = occurrence is not None and occurrence.raised
    if occurrence is not None and not raised and event_time < occurrence.event_time:
        return Counting(known, event_time, repeated=False, enough=False)
    matches = known.add(event_time, message_key, threshold.at_least)
    if matches.newest == known.newest:
        return Counting(known, event_time, repeated=False, enough=False)
    oldest = matches.newest[0].time if len(matches.newest) == threshold.at_least else None
    if raised and occurrence is not None:
        event_time = max(oldest or occurrence.event_time, occurrence.event_time)
    elif oldest is not None:
        event_time = oldest
    return Counting(matches, event_time, repeated=False, enough=matches.reaches(threshold))


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def _hash(message_key: str) -> str:
    return hashlib.blake2b(message_key.encode(), digest_size=KEY_BYTES).hexdigest()
