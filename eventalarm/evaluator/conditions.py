"""Conditions joined by ``and``, ``or`` and ``not``: read from JSON, bounded, and compiled into one test."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from eventalarm.evaluator.event_rule import Anchors, Condition, Moment, trait_of
from eventalarm.evaluator.operators import (
    LIST,
    NATURAL_TYPES,
    OPERATORS,
    PATTERN,
    PRESENCE,
    READERS,
    TESTS,
    TEXT,
    TYPES,
    Operator,
    RelativeTime,
    to_boolean,
)
from eventalarm.exceptions import InvalidRule
from eventalarm.model import Event

# Deeper than this nothing is read, not even when the limits of a deployer were higher once.
DEEPEST: Final = 64


@dataclasses.dataclass(frozen=True, slots=True)
class RuleLimits:
    """The options of ``[eventalarm]`` with these names.

    ``size`` is in bytes of JSON, the lengths are in characters.
    """

    size: int = 32768
    depth: int = 8
    conditions: int = 100
    list_length: int = 100
    value_length: int = 1024
    pattern_length: int = 255


# What is saved is evaluated: a limit that was lowered afterwards must not silence an alarm.
WHEN_LOADED: Final = RuleLimits(
    size=sys.maxsize,
    depth=DEEPEST,
    conditions=sys.maxsize,
    list_length=sys.maxsize,
    value_length=sys.maxsize,
    pattern_length=sys.maxsize,
)


JOINS: Final = ("and", "or", "not")
KEYS: Final = frozenset({"field", "op", "type", "value"})
SHAPE: Final = 'give {field, op, type, value}, {"and": […]}, {"or": […]} or {"not": …}'
TEXT_TYPES: Final = ("string", "none")


class Test(Protocol):
    """A question about an event. Equal tests compare equal."""

    def holds(self, event: Event, now: Moment = None) -> bool:
        """Tell whether the event fulfils it; *now* is what relative times are counted from."""

    def choices(self) -> Iterator[Anchors]:
        """Yield sets of keys of which an event that fulfils it holds at least one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Every:
    """Every part must hold; without parts, it always does."""

    tests: tuple[Test, ...]

    def holds(self, event: Event, now: Moment = None) -> bool:
        """Tell whether every part holds."""
        return all(test.holds(event, now) for test in self.tests)

    def choices(self) -> Iterator[Anchors]:
        """Yield the choices of every part."""
        for test in self.tests:
            yield from test.choices()


@dataclasses.dataclass(frozen=True, slots=True)
class Either:
    """At least one part must hold."""

    tests: tuple[Test, ...]

    def holds(self, event: Event, now: Moment = None) -> bool:
        """Tell whether a part holds."""
        return any(test.holds(event, now) for test in self.tests)

    def choices(self) -> Iterator[Anchors]:
        """Yield the smallest choices of all parts together, if every part has one."""
        together: Anchors = ()
        for test in self.tests:
            smallest = min(test.choices(), key=len, default=None)
            if smallest is None:
                return
            together += smallest
        yield together


@dataclasses.dataclass(frozen=True, slots=True)
class Not:
    """The part must not hold; a comparison that cannot be made does not."""

    test: Test

    def holds(self, event: Event, now: Moment = None) -> bool:
        """Tell whether the part does not hold."""
        return not self.test.holds(event, now)

    def choices(self) -> Iterator[Anchors]:
        """Yield nothing: what an event does not hold is no key."""
        yield from ()


class TimedCondition(Condition):
    """A condition whose value is a time relative to the moment of evaluation."""

    __slots__ = ()

    def holds(self, event: Event, now: Moment = None) -> bool:
        """Tell whether the event fulfils the condition at *now*; never without a moment."""
        try:
            return now is not None and bool(TESTS[self.op](self.observed(event), self.value.at(now)))
        except (TypeError, OverflowError):
            return False

    def choices(self) -> Iterator[Anchors]:
        """Yield nothing: the value is another one at every moment."""
        yield from ()


class PresenceCondition(Condition):
    """A condition on whether the event holds the field at all."""

    __slots__ = ()

    def observed(self, event: Event) -> Any:
        """Return what the event holds for the field, whatever its kind."""
        return event.trait(self.trait) if self.trait else event.path(tuple(self.field.split(".")))

    def holds(self, event: Event, now: Moment = None) -> bool:
        """Tell whether the field is present, or absent where that is asked for."""
        return bool(TESTS[self.op](self.observed(event), self.value))


def read(document: object, where: str, limits: RuleLimits) -> Every:
    """Compile a query: a list (all must hold), an object of JOINS, or one condition.

    :param where: the name of the query in messages.
    :raises InvalidRule: naming the part of the query that cannot be, or is too large, and the remedy.
    """
    if document is None:
        return Every(())
    reader = _Reader(limits)
    test = reader.node(document, where, 1)
    return test if isinstance(test, Every) else Every((test,))


class _Reader:
    """One pass over one query; counts as it goes."""

    def __init__(self, limits: RuleLimits) -> None:
        self._limits = limits
        self._conditions = 0

    def node(self, document: object, where: str, depth: int) -> Test:
        if depth > self._limits.depth:
            raise InvalidRule(where, f"nested deeper than {self._limits.depth} levels", "flatten the query")
        if isinstance(document, list):
            return Every(tuple(self._items(document, where, depth)))
        if not isinstance(document, dict):
            raise InvalidRule(where, "not an object", SHAPE)
        joins = [name for name in JOINS if name in document]
        if not joins:
            return self._condition(document, where)
        if len(document) > 1:
            raise InvalidRule(
                where, f"{joins[0]} beside other keys", "put each of them into an object of its own"
            )
        name = joins[0]
        inner, where = document[name], f"{where}.{name}"
        if name == "not":
            return Not(self.node(inner, where, depth + 1))
        if not isinstance(inner, list) or not inner:
            raise InvalidRule(where, "not a list with members", f'give {{"{name}": [condition, …]}}')
        tests = tuple(self._items(inner, where, depth))
        return Every(tests) if name == "and" else Either(tests)

    def _items(self, items: list[Any], where: str, depth: int) -> Iterator[Test]:
        for number, item in enumerate(items):
            # A list of plain conditions is one level, as deep as the list itself.
            yield self.node(item, f"{where}[{number}]", depth + 1)

    def _condition(self, item: dict[Any, Any], where: str) -> Condition:
        self._conditions += 1
        if self._conditions > self._limits.conditions:
            raise InvalidRule(
                where, f"more than {self._limits.conditions} conditions", "use in, wildcard or several alarms"
            )
        unknown = sorted(str(key) for key in item.keys() - KEYS)
        if unknown:
            raise InvalidRule(f"{where}.{unknown[0][:80]}", "unknown key", SHAPE)
        return condition(item, where, self._limits)


def condition(item: dict[Any, Any], where: str, limits: RuleLimits) -> Condition:
    """Compile one condition of a notification rule.

    :raises InvalidRule: naming the key that cannot be, and the remedy.
    """
    field, name, value = item.get("field"), item.get("op") or "eq", item.get("value")
    if not isinstance(field, str) or not field or field == "traits.":
        raise InvalidRule(
            f"{where}.field", "missing", "name a trait as traits.NAME, or a path such as event_type"
        )
    _bounded(field, f"{where}.field", limits.pattern_length)
    known = OPERATORS.get(name) if isinstance(name, str) else None
    if known is None:
        raise InvalidRule(f"{where}.op", f"unknown: {str(name)[:80]!r}", f"use one of {', '.join(OPERATORS)}")
    type_name = _type(item.get("type"), value, where)
    operand = _operand(known, name, type_name, value, where=f"{where}.value", limits=limits)
    kind: type[Condition] = Condition
    if known.takes == PRESENCE:
        kind = PresenceCondition
    elif isinstance(operand, RelativeTime):
        kind = TimedCondition
    return kind(field, name, type_name, operand, trait_of(field))


def _type(said: object, value: object, where: str) -> str:
    if not said:
        sample = value[0] if isinstance(value, list) and value else value
        return NATURAL_TYPES.get(type(sample), "string")
    if not isinstance(said, str) or said not in TYPES:
        raise InvalidRule(f"{where}.type", f"unknown: {str(said)[:80]!r}", f"use one of {', '.join(TYPES)}")
    return said


def _operand(
    known: Operator, name: str, type_name: str, value: object, *, where: str, limits: RuleLimits
) -> object:
    if known.takes == PRESENCE:
        return True if value is None else _convert(to_boolean, value, "boolean", where)
    if known.takes == LIST:
        return _list(type_name, value, where, limits)
    if known.takes in (TEXT, PATTERN):
        if type_name not in TEXT_TYPES or not isinstance(value, str) or not value:
            raise InvalidRule(
                where, f"{name} compares text only", "give a text, and type string or none at all"
            )
        _bounded(value, where, limits.pattern_length if known.takes == PATTERN else limits.value_length)
        return _convert(known.compile, value, name, where)
    return _scalar(type_name, value, where, limits)


def _list(type_name: str, value: object, where: str, limits: RuleLimits) -> frozenset[object]:
    if not isinstance(value, list) or not value:
        raise InvalidRule(where, "not a list with members", "give a list of values")
    if len(value) > limits.list_length:
        raise InvalidRule(where, f"more than {limits.list_length} values", "split it, or use a pattern")
    found = [_scalar(type_name, one, f"{where}[{number}]", limits) for number, one in enumerate(value)]
    if any(isinstance(one, RelativeTime) for one in found):
        raise InvalidRule(where, "relative times cannot be in a list", "use lt, le, gt or ge")
    return frozenset(found)


def _scalar(type_name: str, value: object, where: str, limits: RuleLimits) -> object:
    if type(value) not in NATURAL_TYPES:
        raise InvalidRule(where, "no value" if value is None else "not a single value", f"give a {type_name}")
    if isinstance(value, str):
        _bounded(value, where, limits.value_length)
    return _convert(READERS[type_name], value, type_name, where)


def _convert(reader: Callable[[Any], object], value: object, kind: str, where: str) -> object:
    try:
        return reader(value)
    except (ValueError, OverflowError) as exc:
        raise InvalidRule(
            where, f"{str(value)[:80]!r} is not of kind {kind}: {str(exc)[:200]}", f"give a valid {kind}"
        ) from exc


def _bounded(text: str, where: str, most: int) -> None:
    if len(text) > most:
        raise InvalidRule(where, f"longer than {most} characters", "shorten it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise InvalidRule(where, "not valid Unicode", "use whole characters") from exc
