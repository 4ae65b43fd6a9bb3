"""A compiled notification rule: what raises the alarm, what clears it, and on which object."""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Iterator
from typing import ClassVar, Final, Protocol

from eventalarm.evaluator.conditions import Test
from eventalarm.evaluator.event_rule import Anchor, Anchors, Moment, Part, Verdict, Watch, watches
from eventalarm.evaluator.match_count import Threshold
from eventalarm.evaluator.objects_in_fault import AtLeast
from eventalarm.model import AlarmDefinition, Event, severity_word

EVENT_TYPE: Final = "event_type"


@dataclasses.dataclass(frozen=True, slots=True)
class About:
    """The test for one resource: the first of *traits* that is present must name it."""

    traits: tuple[str, ...]
    resource_id: str

    def holds(self, event: Event, now: Moment = None) -> bool:
        """Return True if the event is about the resource."""
        return event.first_trait(self.traits) == self.resource_id

    def choices(self) -> Iterator[Anchors]:
        """Yield the one key under which the resource is indexed."""
        yield (Anchor(self.traits, self.resource_id),)


@dataclasses.dataclass(frozen=True, slots=True)
class Half:
    """Selects events of the given types (names or fnmatch patterns) for which every test holds."""

    event_types: tuple[str, ...]
    tests: tuple[Test, ...]

    def watches(self, event_type: str) -> bool:
        """Return True if events of this type can be selected."""
        return any(watches(pattern, event_type) for pattern in self.event_types)

    def holds(self, event: Event, now: Moment) -> bool:
        """Return True if the event is selected."""
        return self.watches(event.event_type) and all(test.holds(event, now) for test in self.tests)

    def part(self) -> Part:
        """Return the keys under which this half can be indexed."""
        return Part(self.event_types, (anchors for test in self.tests for anchors in test.choices()))


@dataclasses.dataclass(frozen=True, slots=True)
class Timers:
    """The timers of a rule, in seconds; None where the rule has no such timer.

    An occurrence clears ``clear_after`` seconds after its latest match, is raised when no match came for
    ``absence_after`` seconds, and is continued by a match within ``hold_down`` seconds of its clearing.
    """

    clear_after: float | None = None
    absence_after: float | None = None
    hold_down: float | None = None

    @property
    def any(self) -> bool:
        """Whether the rule has any timer."""
        return self != NO_TIMERS


NO_TIMERS: Final = Timers()


@dataclasses.dataclass(frozen=True, slots=True)
class CompiledRule:
    """The events that raise an alarm, and those that clear it. An event that matches both raises the alarm.

    With ``timers.absence_after`` the events of ``raises`` are the expected ones, and clear the alarm.
    ``about`` is the test for the resource that the rule names, if any. ``severity_from`` is the trait that
    carries the severity, and ``severity_word`` the X.733 severity of events without it; both may be empty.
    With ``count``, that many events of ``raises`` raise the alarm. With ``at_least``, the managed object is a
    group, and the alarm is raised while that many of its objects are in fault.
    """

    raises: Half
    clear: Half | None
    about: tuple[About, ...]
    group_by: tuple[str, ...]
    severity_from: str = ""
    timers: Timers = dataclasses.field(default_factory=Timers)
    severity_word: str = ""
    count: Threshold | None = None
    at_least: AtLeast | None = None
    finds_twice: ClassVar[bool] = True

    @property
    def is_timed(self) -> bool:
        """Whether the alarm has timers: also those that hold the matches or objects that it counts."""
        return self.timers.any or self.count is not None or self.at_least is not None

    @property
    def expected_object(self) -> str | None:
        """The managed object that the rule names, known before any event; None if events name it."""
        return self.about[0].resource_id if self.about and not self.group_by else None

    @property
    def identity(self) -> tuple[About, ...]:
        """The test for the watched resource."""
        return self.about

    def parts(self, clears: bool) -> tuple[Part, ...]:
        """Return what must be indexed: events of both halves concern the alarm."""
        halves = (self.raises,) if self.clear is None or not clears else (self.raises, self.clear)
        return tuple(half.part() for half in halves)

    def watches(self, event_type: str) -> bool:
        """Return True if the rule applies to events of this type."""
        return self.raises.watches(event_type) or (self.clear is not None and self.clear.watches(event_type))

    def verdict(self, event: Event, now: Moment = None) -> Verdict:
        """Return MATCH if the event raises the alarm, else RECOVERED if it clears it.

        With ``at_least`` that is whether its object is in fault; an event that names no object does nothing.
        """
        if self.at_least is not None and not self.object_in_group(event):
            return Verdict.NOTHING
        if self.raises.holds(event, now):
            return Verdict.MATCH if self.timers.absence_after is None else Verdict.RECOVERED
        if self.clear is not None and self.clear.holds(event, now):
            return Verdict.RECOVERED
        return Verdict.NOTHING

    def matches(self, event: Event, now: Moment = None) -> bool:
        """Return True if the event raises the alarm."""
        return self.timers.absence_after is None and self.raises.holds(event, now)

    def severity(self, event: Event) -> tuple[str | None, bool]:
        """Return the X.733 severity of a match, and whether its trait has an unknown value instead.

        None if neither the event nor the rule states a severity.
        """
        found = event.first_trait((self.severity_from,)).strip() if self.severity_from else ""
        word = severity_word(found)
        return word or self.severity_word or None, word is None and bool(found)

    def managed_object(self, event: Event) -> str | None:
        """Return what distinguishes occurrences: the traits of ``group_by``, or the resource of the rule.

        Several traits are percent-encoded and joined by slashes; an absent one is empty. ``event_type``
        stands for the type of the event unless it has a trait of that name. With ``at_least`` and neither of
        both, the alarm is one group, whose name is empty.
        """
        if self.group_by:
            return _joined(event, self.group_by)
        if self.about:
            return self.about[0].resource_id
        return None if self.at_least is None else ""

    def object_in_group(self, event: Event) -> str:
        """Return the object of the group that an event is about; empty if it has none of the traits."""
        traits = self.at_least.objects if self.at_least is not None else ()
        return _joined(event, traits) if any(_value(event, name) for name in traits) else ""


class Definitions(Protocol):
    """The rules of alarms: the cache of definitions, or what stands for it in a simulation."""

    def rule(self, definition: AlarmDefinition) -> Watch:
        """Return the compiled rule of a definition.

        :raises InvalidRule: when the rule cannot be compiled.
        """

    def forget(self, project_id: str, alarm_id: str) -> None:
        """Note that an alarm was found to be deleted, disabled or moved to another project."""


def _joined(event: Event, traits: tuple[str, ...]) -> str:
    if len(traits) == 1:
        return _value(event, traits[0])
    return "/".join(urllib.parse.quote(_value(event, name), safe="") for name in traits)


def _value(event: Event, name: str) -> str:
    return event.first_trait((name,)) or (event.event_type if name == EVENT_TYPE else "")
