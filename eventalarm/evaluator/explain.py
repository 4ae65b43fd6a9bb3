"""Explains how an alarm reacts to an event: each condition, the observed value, and the verdict."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Collection, Iterator
from typing import Any

from eventalarm.evaluator.compiled_rule import About, CompiledRule, Half
from eventalarm.evaluator.conditions import Either, Every, Not, PresenceCondition, Test
from eventalarm.evaluator.event_rule import Condition, Rule, Verdict, Watch, watches
from eventalarm.evaluator.notification_rule import compile_definition
from eventalarm.evaluator.objects_in_fault import AtLeast, ObjectsInFault
from eventalarm.evaluator.operators import RelativeTime, TextTest
from eventalarm.model import AlarmDefinition, Event

LONGEST = 200

# Returns the objects of a group that are in fault at present.
ObjectsOf = Callable[[str, AtLeast], ObjectsInFault]

WORDS = {
    Verdict.MATCH: "raises the alarm",
    Verdict.RECOVERED: "clears the alarm",
    Verdict.NOTHING: "does nothing to the alarm",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One test and its result; ``seen`` is the value in the event, or None if it has none.

    ``asked`` reads like ``traits.state eq 'error'``; ``parts`` are the tests of which it consists.
    """

    asked: str
    holds: bool
    seen: str | None = None
    parts: tuple[Finding, ...] = ()

    def lines(self, indent: int = 0) -> list[str]:
        """Return the finding as lines of text, its parts indented below it."""
        mark = "yes" if self.holds else "no "
        seen = "" if self.parts else f"   (event: {'absent' if self.seen is None else self.seen})"
        below = [line for part in self.parts for line in part.lines(indent + 1)]
        return [f"{mark}  {'  ' * indent}{self.asked}{seen}", *below]


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """The verdict on an event and its causes. ``clears`` is None if the rule has no clear part.

    ``managed_object`` is the object whose occurrence the event would change. ``then`` are sentences about the
    severity and the timers that the event would start.
    """

    verdict: Verdict
    managed_object: str
    raises: Finding
    clears: Finding | None
    bad_traits: tuple[str, ...]
    then: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the explanation as lines of text, the verdict first."""
        lines = [f"The event {WORDS[self.verdict]} (managed object: {self.managed_object or 'none'})."]
        lines += self.then
        lines += self.raises.lines()
        if self.clears is not None:
            lines += self.clears.lines()
        if self.bad_traits:
            lines.append(f"Ignored unreadable traits: {', '.join(self.bad_traits)[:LONGEST]}")
        return lines


def explain(
    definition: AlarmDefinition,
    event: Event,
    now: datetime.datetime,
    *,
    resource_traits: Collection[str],
    clears: bool,
    objects_of: ObjectsOf | None = None,
) -> Explanation:
    """Explain what an event does to an alarm, from rule and event alone: the state of the alarm is ignored.

    :param now: the time from which relative times in the rule count, aware UTC.
    :param clears: whether an event can clear the alarm (see ``decide.clears``).
    :param objects_of: finds the objects that an alarm with ``at_least`` tracks.
    :raises InvalidRule: when the rule cannot be evaluated.
    """
    rule = compile_definition(definition, resource_traits)
    verdict = rule.verdict(event, now) if rule.watches(event.event_type) else Verdict.NOTHING
    if verdict is Verdict.RECOVERED and not clears:
        verdict = Verdict.NOTHING
    place = rule.managed_object(event)
    raises, clear = _halves(rule, event, now)
    place = event.first_trait(resource_traits) if place is None else place
    then: list[str] = []
    if isinstance(rule, CompiledRule):
        then += _then(rule, event, verdict)
        if rule.at_least is not None:
            objects = objects_of(place, rule.at_least) if objects_of is not None else None
            then += _objects(rule, event, now, verdict=verdict, at_least=rule.at_least, objects=objects)
    return Explanation(
        verdict=verdict,
        managed_object=place,
        raises=raises,
        clears=clear,
        bad_traits=tuple(event.bad_traits),
        then=tuple(then),
    )


def _halves(rule: Watch, event: Event, now: datetime.datetime) -> tuple[Finding, Finding | None]:
    """Return what the event does to the half of a rule that raises and to the half that clears, if any."""
    if isinstance(rule, CompiledRule):
        raises = _half("raises, all of", rule.raises, event, now)
        return raises, None if rule.clear is None else _half("clears, all of", rule.clear, event, now)
    if isinstance(rule, Rule):
        half = Half((rule.event_type,), (*rule.identity, *rule.rest))
        return _half("raises, all of", half, event, now), None
    raise TypeError(type(rule).__name__)


def _then(rule: CompiledRule, event: Event, verdict: Verdict) -> Iterator[str]:
    """Yield what follows from the event beside the verdict."""
    timers = rule.timers
    if verdict is Verdict.NOTHING:
        return
    if verdict is Verdict.RECOVERED and timers.hold_down is not None:
        yield f"The clear is held: it takes effect after {timers.hold_down:g} seconds without a match."
    if verdict is Verdict.MATCH and timers.clear_after is not None:
        yield f"The alarm clears by itself {timers.clear_after:g} seconds after the latest such event."
    if verdict is Verdict.MATCH and rule.count is not None:
        yield (
            f"The alarm is raised by {rule.count.at_least} such events of one managed object within "
            f"{rule.count.within:g} seconds."
        )
    if timers.absence_after is not None:
        yield f"The alarm is raised when no such event comes for {timers.absence_after:g} seconds."
    if verdict is Verdict.MATCH and (rule.severity_from or rule.severity_word):
        yield _severity(rule, event)


def _objects(
    rule: CompiledRule,
    event: Event,
    now: datetime.datetime,
    *,
    verdict: Verdict,
    at_least: AtLeast,
    objects: ObjectsInFault | None,
) -> Iterator[str]:
    """Yield sentences about the object of the event, and how many of its group are in fault with it."""
    name, time = rule.object_in_group(event), event.time(now)
    if not name:
        yield f"The event names no object: it has none of the traits {', '.join(at_least.objects)}."
    if verdict is Verdict.NOTHING:
        return
    in_fault = verdict is Verdict.MATCH
    yield f"Object {_shown(name)} is {'' if in_fault else 'no longer '}in fault."
    yield f"The alarm is raised while at least {at_least.number} objects of one managed object are in fault."
    if objects is None:
        return
    late = objects.is_late(name, time)
    if late:
        yield "The event is late: a newer one about the object has been received."
    else:
        objects = objects.after(name, time, in_fault=in_fault, most=len(objects.states) + 1)
    names = f": {', '.join(objects.names)}"[:LONGEST] if objects.names else ""
    yield f"With the event, {objects.number} of {at_least.number} objects are in fault{names}."


def _severity(rule: CompiledRule, event: Event) -> str:
    """Return a sentence about the severity of a match and where it comes from."""
    if not rule.severity_from:
        return f"Severity (rule): {rule.severity_word}."
    word, unknown = rule.severity(event)
    text = event.first_trait((rule.severity_from,))
    if text and not unknown:
        return f"Severity (trait {rule.severity_from}): {word}."
    missing = f"unknown, {_shown(text)} is not an X.733 severity" if unknown else "not given"
    instead = f"; {word} by the rule" if word else ""
    return f"Severity (trait {rule.severity_from}): {missing}{instead}."


def _half(asked: str, half: Half, event: Event, now: datetime.datetime) -> Finding:
    known = any(watches(pattern, event.event_type) for pattern in half.event_types)
    event_type = Finding(f"event_type is {' or '.join(half.event_types)}"[:LONGEST], known, event.event_type)
    parts = (event_type, *(_finding(test, event, now) for test in half.tests))
    return Finding(asked, all(part.holds for part in parts), parts=parts)


def _finding(test: Test, event: Event, now: datetime.datetime) -> Finding:
    holds = test.holds(event, now)
    if isinstance(test, Every):
        return Finding("all of", holds, parts=tuple(_finding(t, event, now) for t in test.tests))
    if isinstance(test, Either):
        return Finding("any of", holds, parts=tuple(_finding(t, event, now) for t in test.tests))
    if isinstance(test, Not):
        return Finding("not", holds, parts=(_finding(test.test, event, now),))
    if isinstance(test, About):
        return Finding(f"resource_id is {test.resource_id!r}", holds, _shown(event.first_trait(test.traits)))
    if isinstance(test, Condition):
        seen = test.observed(event)
        return Finding(_asked(test, now), holds, None if seen is None else _shown(seen))
    raise TypeError(type(test).__name__)


def _asked(condition: Condition, now: datetime.datetime) -> str:
    value: Any = condition.value
    if isinstance(value, TextTest):
        value = value.text
    elif isinstance(value, RelativeTime):
        value = value.at(now)
    elif isinstance(value, frozenset):
        value = tuple(sorted(value, key=str))
    elif isinstance(condition, PresenceCondition):
        return f"{condition.field} {'exists' if value else 'does not exist'}"
    return f"{condition.field} {condition.op} {_shown(value)}"


def _shown(value: object) -> str:
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"[:LONGEST]
    return repr(value)[:LONGEST]
