"""The rule language: one table of operators and types, and rules compiled once into tests of an event.

Answers are those of Aodh's event evaluator wherever that one gives an answer. Where it raises, a comparison
that cannot be made is false, and ``boolean`` and non-trait fields work (design §5).
"""

from __future__ import annotations

import dataclasses
import enum
import fnmatch
import functools
import json
import operator
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from eventalarm.exceptions import InvalidRule
from eventalarm.model import Event, TraitValue, convert

COMPARATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
TYPES: Final = ("string", "integer", "float", "boolean", "datetime", "none")
TRUE_WORDS: Final = frozenset({"true", "t", "yes", "y", "on", "1"})
FALSE_WORDS: Final = frozenset({"false", "f", "no", "n", "off", "0"})
TRAIT_PREFIX: Final = "traits."
GLOB_CHARACTERS: Final = frozenset("*?[")


class Verdict(enum.Enum):
    """What an event of the watched type and resource says about a rule."""

    MATCH = "match"
    RECOVERED = "recovered"
    NOTHING = "nothing"


def to_boolean(value: object) -> bool:
    """Return *value* as a boolean, by the words that OpenStack APIs accept.

    :raises ValueError: when it is none of them.
    """
    text = str(value).strip().lower()
    if text in TRUE_WORDS:
        return True
    if text in FALSE_WORDS:
        return False
    raise ValueError(f"not a boolean: {text[:80]!r}")


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """One ``{field, op, type, value}`` of a query; ``value`` is already converted.

    ``trait`` is the trait's name, or empty when ``field`` is a dotted path into the event.
    """

    field: str
    op: str
    type: str
    value: TraitValue | bool
    trait: str

    def observed(self, event: Event) -> TraitValue | bool | None:
        """Return what the event holds for the field, or None when it is absent or of no use."""
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

    def holds(self, event: Event) -> bool:
        """Tell whether the event fulfils the condition; an impossible comparison is false."""
        seen = event.trait(self.trait) if self.trait and self.type != "boolean" else self.observed(event)
        try:
            return bool(COMPARATORS[self.op](seen, self.value))
        except TypeError:
            return False


@functools.lru_cache(maxsize=4096)
def _pattern(glob: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(fnmatch.translate(glob)).match


def is_glob(event_type: str) -> bool:
    """Tell whether an event type is a pattern rather than a name."""
    return not GLOB_CHARACTERS.isdisjoint(event_type)


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule: an event type (fnmatch pattern) and the conditions that must all hold.

    ``identity`` are the conditions that say which resource is watched, ``rest`` the others, in their order.
    Equal rules compare equal, so one test can serve many alarms.
    """

    event_type: str
    identity: tuple[Condition, ...]
    rest: tuple[Condition, ...]

    def watches(self, event_type: str) -> bool:
        """Tell whether the rule is about events of this type."""
        if not is_glob(self.event_type):
            return self.event_type == event_type
        # Not even a pattern that equals the type matches by that alone: "x[1]" is about "x1", as in Aodh.
        return _pattern(self.event_type)(event_type) is not None

    def verdict(self, event: Event) -> Verdict:
        """Judge an event whose type the rule watches.

        RECOVERED means: it is about the watched resource, carries a field of another condition, and no
        longer fulfils that condition (design §5, clearing).
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

    def matches(self, event: Event) -> bool:
        """Tell whether every condition holds, for alarms that never clear."""
        return all(c.holds(event) for c in self.identity) and all(c.holds(event) for c in self.rest)


def _compile_condition(item: object) -> Condition:
    """Compile one item of a query; the fields of its errors are relative to the item."""
    if not isinstance(item, dict):
        raise InvalidRule("", "not an object", "give {field, op, type, value}")
    field, op, type_name, value = item.get("field"), item.get("op"), item.get("type"), item.get("value")
    if type(field) is str and type(value) is str and type(op) is str and type(type_name) is str:
        return _shared_condition(field, op, type_name, value)
    return _condition(field, op, type_name, value)


def _condition(field: object, op: object, type_name: object, value: object) -> Condition:
    if not isinstance(field, str) or not field:
        raise InvalidRule(".field", "missing", "name a trait as traits.NAME")
    op = op or "eq"
    if not isinstance(op, str) or op not in COMPARATORS:
        raise InvalidRule(".op", f"unknown: {op!r}", f"use one of {', '.join(COMPARATORS)}")
    type_name = type_name or "string"
    if not isinstance(type_name, str) or type_name not in TYPES:
        raise InvalidRule(".type", f"unknown: {type_name!r}", f"use one of {', '.join(TYPES)}")
    trait = field.removeprefix(TRAIT_PREFIX) if field.startswith(TRAIT_PREFIX) else ""
    try:
        converted = to_boolean(value) if type_name == "boolean" else convert(value, type_name)
    except ValueError as exc:
        raise InvalidRule(
            ".value",
            f"{str(value)[:80]!r} is not of type {type_name}",
            f"give a value of type {type_name}, or change the type",
        ) from exc
    return Condition(field, op, type_name, converted, trait)


# Most alarms share all but the condition on their resource: what is shared is compiled and kept once.
_shared_condition = functools.lru_cache(maxsize=4096)(_condition)


def compile_rule(rule: object, resource_traits: Collection[str]) -> Rule:
    """Compile the ``event_rule`` of an alarm.

    :param resource_traits: the traits that name a resource; an ``eq`` on one of them identifies it.
    :raises InvalidRule: when the rule could never match; says which field and what to do.
    """
    if not isinstance(rule, dict) or not rule:
        # Also what is left of a row whose JSON cannot be read: it must not match every event.
        raise InvalidRule("rule", "empty or unreadable", "give {event_type, query}")
    event_type = rule.get("event_type")
    if event_type is None:
        event_type = "*"
    if not isinstance(event_type, str) or not event_type:
        raise InvalidRule("event_type", "no text", "give a name, or a pattern such as compute.instance.*")
    query = rule.get("query") or []
    if not isinstance(query, list):
        raise InvalidRule("query", "not a list", "give a list of {field, op, type, value}")
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
    """Return why the state changed, in the words that consumers of Aodh's event alarms parse."""
    query = json.dumps(rule.get("query") or [], sort_keys=True)
    hits = "hits" if verdict is Verdict.MATCH else "no longer hits"
    return f"Event <id={event.message_id},event_type={event.event_type}> {hits} the query <query={query}>."
