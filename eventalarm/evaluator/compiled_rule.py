"""A ``notification`` alarm's rule as the evaluator runs it: what raises, what clears, on which object."""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Iterator
from typing import ClassVar, Final

from eventalarm.evaluator.conditions import Test
from eventalarm.evaluator.event_rule import Anchor, Anchors, Moment, Part, Verdict, watches
from eventalarm.model import Event, severity_word

EVENT_TYPE: Final = "event_type"


@dataclasses.dataclass(frozen=True, slots=True)
class About:
    """The event is about one resource: the first present of *traits* names it."""

    traits: tuple[str, ...]
    resource_id: str

    def holds(self, event: Event, now: Moment = None) -> bool:
        """Tell whether the event is about the resource."""
        return event.first_trait(self.traits) == self.resource_id

    def choices(self) -> Iterator[Anchors]:
        """Yield the resource."""
        yield (Anchor(self.traits, self.resource_id),)


@dataclasses.dataclass(frozen=True, slots=True)
class Half:
    """Events of these types (names or fnmatch patterns) for which every test holds."""

    event_types: tuple[str, ...]
    tests: tuple[Test, ...]

    def watches(self, event_type: str) -> bool:
        """Tell whether events of this type can belong."""
        return any(watches(pattern, event_type) for pattern in self.event_types)

    def holds(self, event: Event, now: Moment) -> bool:
        """Tell whether the event belongs."""
        return self.watches(event.event_type) and all(test.holds(event, now) for test in self.tests)

    def part(self) -> Part:
        """Return what this half can be filed under."""
        return Part(self.event_types, (anchors for test in self.tests for anchors in test.choices()))


@dataclasses.dataclass(frozen=True, slots=True)
class Timers:
    """What happens by itself, in seconds; None where it does not.

    An occurrence clears ``clear_after`` its latest match, is raised when no match came for ``absence_after``,
    and is continued by a match that comes within ``hold_down`` of its clearing.
    """

    clear_after: float | None = None
    absence_after: float | None = None
    hold_down: float | None = None

    @property
    def any(self) -> bool:
        """Whether anything happens by itself."""
        return self != NO_TIMERS


NO_TIMERS: Final = Timers()


@dataclasses.dataclass(frozen=True, slots=True)
class CompiledRule:
    """What raises an alarm and what clears it. An event that does both raises it.

    With ``timers.absence_after`` it is the other way round: the events of ``raises`` are expected, and clear.
    ``about`` is the test on the resource that the rule names, if it names one. ``severity_from`` is the trait
    that carries the severity, or empty.
    """

    raises: Half
    clear: Half | None
    about: tuple[About, ...]
    group_by: tuple[str, ...]
    severity_from: str = ""
    timers: Timers = dataclasses.field(default_factory=Timers)
    finds_twice: ClassVar[bool] = True

    @property
    def expected_object(self) -> str | None:
        """The one managed object that the rule is about, known before any event; None: they turn up."""
        return self.about[0].resource_id if self.about and not self.group_by else None

    @property
    def identity(self) -> tuple[About, ...]:
        """The test that names the watched resource."""
        return self.about

    def parts(self, clears: bool) -> tuple[Part, ...]:
        """Return both halves: the events of either concern the alarm."""
        halves = (self.raises,) if self.clear is None or not clears else (self.raises, self.clear)
        return tuple(half.part() for half in halves)

    def watches(self, event_type: str) -> bool:
        """Tell whether the rule is about events of this type."""
        return self.raises.watches(event_type) or (self.clear is not None and self.clear.watches(event_type))

    def verdict(self, event: Event, now: Moment = None) -> Verdict:
        """Judge an event: MATCH when it raises, else RECOVERED when it clears."""
        if self.raises.holds(event, now):
            return Verdict.MATCH if self.timers.absence_after is None else Verdict.RECOVERED
        if self.clear is not None and self.clear.holds(event, now):
            return Verdict.RECOVERED
        return Verdict.NOTHING

    def matches(self, event: Event, now: Moment = None) -> bool:
        """Tell whether the event raises the alarm."""
        return self.timers.absence_after is None and self.raises.holds(event, now)

    def severity(self, event: Event) -> tuple[str | None, bool]:
        """Return the X.733 word where the rule says that it is, and whether there is something else."""
        said = event.first_trait((self.severity_from,)).strip() if self.severity_from else ""
        word = severity_word(said)
        return word, word is None and bool(said)

    def managed_object(self, event: Event) -> str | None:
        """Return what the occurrence is told apart by: the traits of ``group_by``, else the resource.

        Several traits are joined by slashes, each percent-encoded; an absent one is empty. ``event_type`` is
        the event's type unless it has a trait of that name.
        """
        if len(self.group_by) == 1:
            return _value(event, self.group_by[0])
        if self.group_by:
            return "/".join(urllib.parse.quote(_value(event, name), safe="") for name in self.group_by)
        return self.about[0].resource_id if self.about else None


def _value(event: Event, name: str) -> str:
    return event.first_trait((name,)) or (event.event_type if name == EVENT_TYPE else "")
