"""Queries of notification rules: conditions joined by ``and``, ``or`` and ``not``, compiled into one test."""

from __future__ import annotations

import dataclasses
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
from eventalarm.evaluator.options import RuleLimits
from eventalarm.exceptions import InvalidRule
from eventalarm.model import Event

JOINS: Final = ("and", "or", "not")
KEYS: Final = frozenset({"field", "op", "type", "value"})
SHAPE: Final = 'give {field, op, type, value}, {"and": […]}, {"or": […]} or {"not": …}'
TEXT_TYPES: Final = ("string", "none")


class Test(Protocol):
    """A compiled part of a query. Equal tests compare equal."""

    def holds(self, event: Event, now: Moment = None) -> bool:
        """Return True if the event passes the test; relative times count from *now*."""

    def choices(self) -> Iterator[Anchors]:
        """Yield sets of index keys; an event that passes the test holds at least one key of each set."""


@dataclasses.dataclass(frozen=True, slots=True)
class Every:
    """A conjunction; without parts it always holds."""

    tests: tuple[Test, ...]

    def holds(self, event: Event, now: Moment = None) -> bool:
        """Return True if every part holds."""
        return all(test.holds(event, now) for test in self.tests)

    def choices(self) -> Iterator[Anchors]:
        """Yield the choices of all parts."""
        for test in self.tests:
            yield from test.choices()


@dataclasses.dataclass(frozen=True, slots=True)
class Either:
    """A disjunction."""

    tests: tuple[Test, ...]

    def holds(self, event: Event, now: Moment = None) -> bool:
        """Return True if at least one part holds."""
        return any(test.holds(event, now) for test in self.tests)

    def choices(self) -> Iterator[Anchors]:
        """Yield the union of the smallest choice of every part, if every part has one."""
        together: Anchors = ()
        for test in self.tests:
            smallest = min(test.choices(), key=len, default=None)
            if smallest is None:
                return
            together += smallest
        yield together


@dataclasses.dataclass(frozen=True, slots=True)
class Not:
    """A negation. A comparison that cannot be made is false, so its negation is true."""

    test: Test

    def holds(self, event: Event, now: Moment = None) -> bool:
        """Return True if the part does not hold."""
        return not self.test.holds(event, now)

    def choices(self) -> Iterator[Anchors]:
        """Yield nothing: an event cannot be found by a value that it lacks."""
        yield from ()


class TimedCondition(Condition):
    """A condition whose value is relative to the time of evaluation, such as ``now-5m``."""

    __slots__ = ()

    def holds(self, event: Event, now: Moment = None) -> bool:
        """Return True if the event satisfies the condition at *now*; always False without *now*."""
        try:
            return now is not None and bool(TESTS[self.op](self.observed(event), self.value.at(now)))
        except (TypeError, OverflowError):
            return False

    def choices(self) -> Iterator[Anchors]:
        """Yield nothing: the value changes over time."""
        yield from ()


class PresenceCondition(Condition):
    """An ``exists`` condition: whether the event has the field."""

    __slots__ = ()

    def observed(self, event: Event) -> Any:
        """Return the value of the field, of whatever type, or None if it is absent."""
        return event.trait(self.trait) if self.trait else event.path(tuple(self.field.split(".")))

    def holds(self, event: Event, now: Moment = None) -> bool:
        """Return True if the field is present, or absent where the rule gives ``false``."""
        return bool(TESTS[self.op](self.observed(event), self.value))


def read(document: object, where: str, limits: RuleLimits) -> Every:
    """Compile a query: a list (all must hold), an object of JOINS, or one condition.

    :param where: the name of the query in error messages.
    :raises InvalidRule: naming the part of the query that is invalid or too large, and the remedy.
    """
    if document is None:
        return Every(())
    reader = _Reader(limits)
    test = reader.node(document, where, 1)
    return test if isinstance(test, Every) else Every((test,))


class _Reader:
    """Reads one query and counts its conditions."""

    def __init__(self, limits: RuleLimits) -> None:
        self._limits = limits
        self._conditions = 0

    def node(self, document: object, where: str, depth: int) -> Test:
        if depth > self._limits.depth:
            raise InvalidRule(
                where, f"nested more than {self._limits.depth} levels deep", "flatten the query"
            )
        if isinstance(document, list):
            return Every(tuple(self._items(document, where, depth)))
        if not isinstance(document, dict):
            raise InvalidRule(where, "must be an object", SHAPE)
        joins = [name for name in JOINS if name in document]
        if not joins:
            return self._condition(document, where)
        if len(document) > 1:
            raise InvalidRule(
                where, f"{joins[0]!r} must be the only key of its object", "put each key into its own object"
            )
        name = joins[0]
        inner, where = document[name], f"{where}.{name}"
        if name == "not":
            return Not(self.node(inner, where, depth + 1))
        if not isinstance(inner, list) or not inner:
            raise InvalidRule(where, "must be a non-empty list", f'give {{"{name}": [condition, …]}}')
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
                where,
                f"more than {self._limits.conditions} conditions",
                "use the operator in or wildcard, or several alarms",
            )
        unknown = sorted(str(key) for key in item.keys() - KEYS)
        if unknown:
            raise InvalidRule(f"{where}.{unknown[0][:80]}", "unknown field", SHAPE)
        return condition(item, where, self._limits)


def condition(item: dict[Any, Any], where: str, limits: RuleLimits) -> Condition:
    """Compile one condition of a notification rule.

    :raises InvalidRule: naming the invalid field and the remedy.
    """
    field, name, value = item.get("field"), item.get("op") or "eq", item.get("value")
    if not isinstance(field, str) or not field or field == "traits.":
        raise InvalidRule(
            f"{where}.field", "required", "name a trait as traits.NAME, or a path such as event_type"
        )
    _bounded(field, f"{where}.field", limits.pattern_length)
    known = OPERATORS.get(name) if isinstance(name, str) else None
    if known is None:
        raise InvalidRule(
            f"{where}.op", f"unknown operator {str(name)[:80]!r}", f"use one of {', '.join(OPERATORS)}"
        )
    type_name = _type(item.get("type"), value, where)
    operand = _operand(known, name, type_name, value, where=f"{where}.value", limits=limits)
    kind: type[Condition] = Condition
    if known.takes == PRESENCE:
        kind = PresenceCondition
    elif isinstance(operand, RelativeTime):
        kind = TimedCondition
    return kind(field, name, type_name, operand, trait_of(field))


def _type(given: object, value: object, where: str) -> str:
    if not given:
        sample = value[0] if isinstance(value, list) and value else value
        return NATURAL_TYPES.get(type(sample), "string")
    if not isinstance(given, str) or given not in TYPES:
        raise InvalidRule(
            f"{where}.type", f"unknown type {str(given)[:80]!r}", f"use one of {', '.join(TYPES)}"
        )
    return given


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
                where, f"must be a non-empty string for {name}", "give a string, and type string or no type"
            )
        _bounded(value, where, limits.pattern_length if known.takes == PATTERN else limits.value_length)
        return _convert(known.compile, value, name, where)
    return _scalar(type_name, value, where, limits)


def _list(type_name: str, value: object, where: str, limits: RuleLimits) -> frozenset[object]:
    if not isinstance(value, list) or not value:
        raise InvalidRule(where, "must be a non-empty list", "give a list of values")
    if len(value) > limits.list_length:
        raise InvalidRule(where, f"more than {limits.list_length} values", "split the list, or use a pattern")
    found = [_scalar(type_name, one, f"{where}[{number}]", limits) for number, one in enumerate(value)]
    if any(isinstance(one, RelativeTime) for one in found):
        raise InvalidRule(where, "must not contain relative times", "use lt, le, gt or ge")
    return frozenset(found)


def _scalar(type_name: str, value: object, where: str, limits: RuleLimits) -> object:
    if type(value) not in NATURAL_TYPES:
        problem = "required" if value is None else "must be a single value"
        raise InvalidRule(where, problem, f"give a value of type {type_name}")
    if isinstance(value, str):
        _bounded(value, where, limits.value_length)
    return _convert(READERS[type_name], value, type_name, where)


def _convert(reader: Callable[[Any], object], value: object, kind: str, where: str) -> object:
    try:
        return reader(value)
    except (ValueError, OverflowError) as exc:
        raise InvalidRule(
            where, f"{str(value)[:80]!r} is not a valid {kind}: {str(exc)[:200]}", f"give a valid {kind}"
        ) from exc


def _bounded(text: str, where: str, most: int) -> None:
    if len(text) > most:
        raise InvalidRule(where, f"longer than {most} characters", "shorten it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise InvalidRule(where, "must be valid Unicode", "remove unpaired surrogates") from exc
