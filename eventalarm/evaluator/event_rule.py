"""Event rules: the ``event_rule`` of an alarm, compiled once into tests of an event.

Results are those of Aodh's event evaluator, except where that raises an error: here a comparison that cannot
be made is false, and ``boolean`` conditions and fields that are not traits are supported; see
``doc/source/user/differences-from-aodh.rst``.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Protocol

from eventalarm import reasons
from eventalarm.evaluator.operators import COMPARATORS, TESTS, TYPES, to_boolean, to_type
from eventalarm.exceptions import InvalidRule
from eventalarm.model import Event, TraitValue, convert
from eventalarm.patterns import is_glob, matches_glob

TRAIT_PREFIX: Final = "traits."

Moment = datetime.datetime | None


class Verdict(enum.Enum):
    """The meaning of an event for a rule: it raises the alarm, clears it, or neither."""

    MATCH = "match"
    RECOVERED = "recovered"
    NOTHING = "nothing"


@dataclasses.dataclass(frozen=True, slots=True)
class Anchor:
    """A key under which an alarm can be indexed.

    ``trait`` is the name of a trait. A tuple stands for the first of its traits that is present. With an
    empty name, ``key`` is an event type or a pattern of event types.
    """

    trait: str | tuple[str, ...]
    key: object


Anchors = tuple[Anchor, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """The keys under which one part of a rule can be indexed: one of ``choices``, or all of ``event_types``.

    An event that the part matches has at least one key of each choice.
    """

    event_types: Sequence[str]
    choices: Iterable[Anchors]


class Watch(Protocol):
    """A compiled rule of either alarm type, as index, cache and engine use it. Equal rules compare equal.

    ``finds_twice`` is True if the index may find the same alarm under several keys of one event. ``identity``
    names the watched resource; it is empty when the rule names none.
    """

    @property
    def finds_twice(self) -> bool:
        """Whether one event may have several keys of one alarm."""

    @property
    def is_timed(self) -> bool:
        """Whether the alarm has timers, which are then read with its row."""

    @property
    def identity(self) -> tuple[Any, ...]:
        """The conditions that name the watched resource."""

    def parts(self, clears: bool) -> tuple[Part, ...]:
        """Return the parts to index, so that every event that concerns the alarm finds it."""

    def watches(self, event_type: str) -> bool:
        """Return True if the rule applies to events of this type."""

    def verdict(self, event: Event, now: Moment = None) -> Verdict:
        """Return the verdict on an event of a watched type; relative times count from *now*."""

    def matches(self, event: Event, now: Moment = None) -> bool:
        """Return True if the event raises the alarm; for alarms that never clear."""

    def managed_object(self, event: Event) -> str | None:
        """Return the managed object whose occurrence the event changes; None for the object of the event."""


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """One ``{field, op, type, value}`` of a query; ``value`` is converted for the test of the operator.

    ``trait`` is the trait's name, or empty when ``field`` is a dotted path into the event.
    """

    field: str
    op: str
    type: str
    value: Any
    trait: str

    def observed(self, event: Event) -> TraitValue | bool | None:
        """Return the value of the field in the event, or None if it is absent or cannot be converted."""
        if self.type == "boolean":
            raw = event.trait(self.trait) if self.trait else event.path(tuple(self.field.split(".")))
            try:
                return None if raw is None else to_boolean(raw)
            except ValueError:
                return None
        if self.trait:
            return event.trait(self.trait)
        raw = event.path(tuple(self.field.split(".")))
        if not isinstance(raw, str | int | float):
            return None
        try:
            return convert(raw, self.type)
        except ValueError:
            return None

    def holds(self, event: Event, now: Moment = None) -> bool:
        """Return True if the event satisfies the condition; a comparison that cannot be made is false."""
        seen = event.trait(self.trait) if self.trait and self.type != "boolean" else self.observed(event)
        try:
            return bool(TESTS[self.op](seen, self.value))
        except (TypeError, ValueError):
            return False

    def choices(self) -> Iterator[Anchors]:
        """Yield sets of index keys; an event that satisfies the condition has one key of each set."""
        if self.trait and self.type != "boolean":
            if self.op == "eq":
                yield (Anchor(self.trait, self.value),)
            elif self.op == "in" and isinstance(self.value, frozenset):
                yield tuple(Anchor(self.trait, value) for value in self.value)


@functools.lru_cache(maxsize=4096)
def watches(pattern: str, event_type: str) -> bool:
    """Return True if an event type equals *pattern* or matches it (fnmatch)."""
    if not is_glob(pattern):
        return pattern == event_type
    # A pattern that equals the type need not match it: "x[1]" matches "x1" only, as in Aodh.
    return matches_glob(event_type, pattern)


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """An ``event`` alarm's rule: an event type (fnmatch pattern) and the conditions that must all hold.

    ``identity`` are the conditions that name the watched resource, ``rest`` the others in their order. Equal
    rules compare equal, so that one test can serve many alarms.
    """

    event_type: str
    identity: tuple[Condition, ...]
    rest: tuple[Condition, ...]
    finds_twice: ClassVar[bool] = False
    is_timed: ClassVar[bool] = False

    def parts(self, clears: bool) -> tuple[Part, ...]:
        """Return what must be indexed: an event type, or one of the equalities on a trait."""
        # An event that clears the alarm must find it as well. It satisfies the conditions that identify the
        # resource, but not the others.
        conditions = self.identity if clears else (*self.identity, *self.rest)
        return (Part((self.event_type,), (anchors for c in conditions for anchors in c.choices())),)

    def managed_object(self, event: Event) -> str | None:
        """Return None: an event alarm has an occurrence on each object that its events are about."""
        return None

    def watches(self, event_type: str) -> bool:
        """Return True if the rule applies to events of this type."""
        return watches(self.event_type, event_type)

    def verdict(self, event: Event, now: Moment = None) -> Verdict:
        """Return the verdict on an event of a watched type.

        RECOVERED: the event is about the watched resource, has the field of another condition, and no longer
        satisfies that condition.
        """
        for condition in self.identity:
            if not condition.holds(event):
                return Verdict.NOTHING
        denied = False
        matches = True
        for condition in self.rest:
            if not condition.holds(event):
                matches = False
                denied = denied or condition.observed(event) is not None
        if matches:
            return Verdict.MATCH
        return Verdict.RECOVERED if denied else Verdict.NOTHING

    def matches(self, event: Event, now: Moment = None) -> bool:
        """Return True if every condition holds; for alarms that never clear."""
        # Loops instead of all(): generators would take half of the time of this innermost part of matching.
        for condition in self.identity:
            if not condition.holds(event):
                return False
        for condition in self.rest:  # noqa: SIM110
            if not condition.holds(event):
                return False
        return True


def trait_of(field: str) -> str:
    """Return the trait that a field names, or an empty string when it is a path into the event."""
    return field.removeprefix(TRAIT_PREFIX) if field.startswith(TRAIT_PREFIX) else ""


def _compile_condition(item: object) -> Condition:
    """Compile one item of a query; the fields of its errors are relative to the item."""
    if not isinstance(item, dict):
        raise InvalidRule("", "must be an object", "give {field, op, type, value}")
    field, op, type_name, value = item.get("field"), item.get("op"), item.get("type"), item.get("value")
    if type(field) is str and type(value) is str and type(op) is str and type(type_name) is str:
        return _shared_condition(field, op, type_name, value)
    return _condition(field, op, type_name, value)


def _condition(field: object, op: object, type_name: object, value: object) -> Condition:
    if not isinstance(field, str) or not field:
        raise InvalidRule(".field", "required", "name a trait as traits.NAME")
    op = op or "eq"
    if not isinstance(op, str) or op not in COMPARATORS:
        raise InvalidRule(".op", f"unknown operator {op!r}", f"use one of {', '.join(COMPARATORS)}")
    type_name = type_name or "string"
    if not isinstance(type_name, str) or type_name not in TYPES:
        raise InvalidRule(".type", f"unknown type {type_name!r}", f"use one of {', '.join(TYPES)}")
    trait = trait_of(field)
    try:
        converted = to_type(value, type_name)
    except ValueError as exc:
        raise InvalidRule(
            ".value",
            f"{str(value)[:80]!r} is not a valid {type_name}",
            f"give a value of type {type_name}, or change the type",
        ) from exc
    return Condition(field, op, type_name, converted, trait)


# Most alarms differ only in the condition on their resource: other conditions are compiled and stored once.
_shared_condition = functools.lru_cache(maxsize=4096)(_condition)


def compile_rule(rule: object, resource_traits: Collection[str]) -> Rule:
    """Compile the ``event_rule`` of an alarm.

    :param resource_traits: the traits that name a resource; an ``eq`` on one of them identifies it.
    :raises InvalidRule: when the rule could never match; names the field and the remedy.
    """
    if not isinstance(rule, dict) or not rule:
        # A row with invalid JSON is read as an empty rule, which must not match every event.
        raise InvalidRule("rule", "must be a non-empty object", "give {event_type, query}")
    event_type = rule.get("event_type")
    if event_type is None:
        event_type = "*"
    if not isinstance(event_type, str) or not event_type:
        raise InvalidRule(
            "event_type", "must be a non-empty string", "give a name, or a pattern such as compute.instance.*"
        )
    query = rule.get("query") or []
    if not isinstance(query, list):
        raise InvalidRule("query", "must be a list", "give a list of {field, op, type, value}")
    identity: list[Condition] = []
    rest: list[Condition] = []
    for number, item in enumerate(query):
        try:
            condition = _compile_condition(item)
        except InvalidRule as exc:
            raise InvalidRule(f"query[{number}]{exc.field}", exc.problem, exc.remedy) from exc
        identifies = condition.op == "eq" and condition.trait in resource_traits
        (identity if identifies else rest).append(condition)
    return Rule(event_type, tuple(identity), tuple(rest))


def reason(event: Event, rule: Mapping[str, Any], verdict: Verdict) -> str:
    """Return the reason of a state change, in the form that consumers of Aodh's event alarms parse."""
    clear = rule.get("clear")
    if verdict is Verdict.MATCH:
        hits, query = "hits the query", rule.get("query")
    elif isinstance(rule.get("absence"), dict):
        hits, query = "was expected and hits the query", rule.get("query")
    elif isinstance(clear, dict):
        hits, query = "hits the clear query", clear.get("query")
    else:
        hits, query = "no longer hits the query", rule.get("query")
    return reasons.compose(event.message_id, event.event_type, hits, query)
