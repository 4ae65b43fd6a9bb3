"""Tracks which objects of a group are in fault, for rules with ``at_least``. Pure functions.

Each object is in the state that its newest event reported, whatever the order in which events arrive. The
objects of a group are one JSON document in a row of the database, which events change under the alarm's lock.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from eventalarm.evaluator.decide import Decision, Reason, Situation, decide
from eventalarm.evaluator.event_rule import Verdict
from eventalarm.model import JSONDict

# The largest ``at_least``; [eventalarm] max_objects_per_group is never less.
MOST_AT_LEAST: Final = 100
# How many of the objects in fault notifications name.
MOST_NAMED: Final = 100
# Seconds for which it is remembered that an object recovered, so that a late fault of it is recognized.
LATENESS: Final = 3600.0


@dataclasses.dataclass(frozen=True, slots=True)
class AtLeast:
    """The ``at_least`` of a rule: how many objects of a group must be in fault.

    ``objects`` are the traits that distinguish the objects. ``key`` differs between rules that could find
    other objects in fault: what one of them has tracked means nothing to the other.
    """

    number: int
    objects: tuple[str, ...]
    key: str


class ObjectState(NamedTuple):
    """What the newest event about an object reported: the time of the event (aware UTC), and the state."""

    time: datetime.datetime
    in_fault: bool


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectsInFault:
    """The states of a group's objects by name; ``evaluated_for``: the number at the latest decision."""

    states: Mapping[str, ObjectState] = dataclasses.field(default_factory=dict)
    evaluated_for: int = 0

    @classmethod
    def load(cls, document: Mapping[str, Any] | None, at_least: AtLeast) -> ObjectsInFault:
        """Read what :meth:`document` returned; no object is known if it is None or of another rule."""
        if not document or document.get("rule") != at_least.key:
            return cls(evaluated_for=at_least.number)
        states = {
            name: ObjectState(datetime.datetime.fromisoformat(time), in_fault)
            for name, (time, in_fault) in document["objects"].items()
        }
        return cls(states, document["at_least"])

    def document(self, at_least: AtLeast) -> JSONDict:
        """Return a JSON object for the database."""
        objects = {name: [one.time.isoformat(), one.in_fault] for name, one in self.states.items()}
        return {"objects": objects, "rule": at_least.key, "at_least": at_least.number}

    @property
    def names(self) -> tuple[str, ...]:
        """The objects in fault, sorted."""
        return tuple(sorted(name for name, one in self.states.items() if one.in_fault))

    def verdict(self, at_least: AtLeast) -> Verdict:
        """Return MATCH if enough objects are in fault to raise the alarm, else RECOVERED."""
        return Verdict.MATCH if self.number >= at_least.number else Verdict.RECOVERED

    @property
    def number(self) -> int:
        """The number of objects in fault."""
        return sum(one.in_fault for one in self.states.values())

    def is_late(self, name: str, time: datetime.datetime) -> bool:
        """Return True if a newer event about the object has been received."""
        known = self.states.get(name)
        return known is not None and time < known.time

    def after(self, name: str, time: datetime.datetime, *, in_fault: bool, most: int) -> ObjectsInFault:
        """Return the states after an event about the object *name*, which must not be late.

        Of more than *most* objects, those in fault before are kept, and those that recovered last.
        """
        if in_fault and not self._is_in_fault(name) and self.number >= most:
            return self
        states = {**self.states, name: ObjectState(time, in_fault)}
        newest = max(one.time for one in states.values())
        kept = [key for key, one in states.items() if one.in_fault]
        recovered = [
            key
            for key, one in states.items()
            if not one.in_fault and (newest - one.time).total_seconds() <= LATENESS
        ]
        recovered.sort(key=lambda key: states[key].time, reverse=True)
        kept += recovered[: most - len(kept)]
        return dataclasses.replace(self, states={key: states[key] for key in kept})

    def _is_in_fault(self, name: str) -> bool:
        known = self.states.get(name)
        return known is not None and known.in_fault


def decide_for_group(
    situation: Situation, objects: ObjectsInFault, at_least: AtLeast, *, late: bool
) -> tuple[Decision, Verdict]:
    """Decide what an event about one object does to the alarm on its group; return the verdict on that, too.

    A match raises the alarm while enough objects are in fault, and a recovery clears it while too few are.
    The first event after another ``at_least`` has come into effect does either.

    :param situation: that of the group; its event time is not earlier than that of the occurrence.
    :param objects: the objects after the event.
    :param late: whether a newer event about the object has been received.
    """
    verdict = situation.verdict
    if verdict is Verdict.NOTHING or situation.seen:
        return decide(situation), verdict
    if late:
        return Decision(Reason.LATE), verdict
    if not situation.in_time:
        return Decision(Reason.OUTSIDE_TIME_CONSTRAINTS), verdict
    if objects.verdict(at_least) is not verdict and objects.evaluated_for == at_least.number:
        return Decision(Reason.COUNTED), verdict
    verdict = objects.verdict(at_least)
    # The times of the objects decide which events are late, not that of the group.
    return dataclasses.replace(
        decide(dataclasses.replace(situation, verdict=verdict)), confirm=False
    ), verdict
