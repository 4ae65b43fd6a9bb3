"""SOL013's attribute filters (clause 5.2): text is parsed into a predicate on resources. Pure.

An expression on an attribute that a resource lacks is false, whatever the operator; on a list it is true if
it is true for any element.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from eventalarm.exceptions import EventAlarmError
from eventalarm.model import parse_time

Path = tuple[str, ...]
Document = Mapping[str, Any]


class BadFilter(EventAlarmError):
    """A filter or selector is not valid; the text says where and why."""


class Type(enum.Enum):
    """The type of the values of an attribute."""

    TEXT = "text"
    WORD = "word"  # of an enumeration; has no order
    TIME = "time"
    TRUTH = "truth"


ALARM_ATTRIBUTES: Final[Mapping[Path, Type]] = {
    ("id",): Type.TEXT,
    ("managedObjectId",): Type.TEXT,
    ("rootCauseFaultyResource", "faultyResource", "resourceId"): Type.TEXT,
    ("vnfcInstanceIds",): Type.TEXT,
    ("rootCauseFaultyResource", "faultyResource", "vimConnectionId"): Type.TEXT,
    ("rootCauseFaultyResource", "faultyResource", "resourceProviderId"): Type.TEXT,
    ("rootCauseFaultyResource", "faultyResource", "vimLevelResourceType"): Type.TEXT,
    ("rootCauseFaultyResource", "faultyResourceType"): Type.WORD,
    ("alarmRaisedTime",): Type.TIME,
    ("alarmChangedTime",): Type.TIME,
    ("alarmClearedTime",): Type.TIME,
    ("alarmAcknowledgedTime",): Type.TIME,
    ("ackState",): Type.WORD,
    ("perceivedSeverity",): Type.WORD,
    ("eventTime",): Type.TIME,
    ("eventType",): Type.WORD,
    ("faultType",): Type.TEXT,
    ("probableCause",): Type.TEXT,
    ("isRootCause",): Type.TRUTH,
    ("correlatedAlarmIds",): Type.TEXT,
    ("faultDetails",): Type.TEXT,
}

PRODUCTS: Final = ("filter", "vnfInstanceSubscriptionFilter", "vnfProductsFromProviders")
SUBSCRIPTION_ATTRIBUTES: Final[Mapping[Path, Type]] = {
    ("id",): Type.TEXT,
    ("callbackUri",): Type.TEXT,
    ("filter", "vnfInstanceSubscriptionFilter", "vnfInstanceIds"): Type.TEXT,
    ("filter", "vnfInstanceSubscriptionFilter", "vnfInstanceNames"): Type.TEXT,
    ("filter", "vnfInstanceSubscriptionFilter", "vnfdIds"): Type.TEXT,
    (*PRODUCTS, "vnfProvider"): Type.TEXT,
    (*PRODUCTS, "vnfProducts", "vnfProductName"): Type.TEXT,
    (*PRODUCTS, "vnfProducts", "versions", "vnfSoftwareVersion"): Type.TEXT,
    (*PRODUCTS, "vnfProducts", "versions", "vnfdVersions"): Type.TEXT,
    ("filter", "notificationTypes"): Type.WORD,
    ("filter", "faultyResourceTypes"): Type.WORD,
    ("filter", "perceivedSeverities"): Type.WORD,
    ("filter", "eventTypes"): Type.WORD,
    ("filter", "probableCauses"): Type.TEXT,
    ("filter", "resourceIds"): Type.TEXT,
    ("filter", "projectIds"): Type.TEXT,
    ("filter", "faultTypes"): Type.TEXT,
    ("filter", "minSeverity"): Type.WORD,
    ("_links", "self", "href"): Type.TEXT,
}

ONE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": lambda a, b: a == b,
    "neq": lambda a, b: a != b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}
MANY: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "in": lambda a, values: a in values,
    "nin": lambda a, values: a not in values,
    "cont": lambda a, values: any(value in a for value in values),
    "ncont": lambda a, values: not any(value in a for value in values),
}
ORDER: Final = frozenset({"gt", "gte", "lt", "lte"})
CONTAINS: Final = frozenset({"cont", "ncont"})
MAX_EXPRESSIONS: Final = 50


@dataclasses.dataclass(frozen=True, slots=True)
class Expression:
    """One comparison; ``values`` are converted to the type of the attribute."""

    operator: str
    path: Path
    values: tuple[Any, ...]
    type: Type

    def __call__(self, resource: Document) -> bool:
        """Return True if *resource*, in its JSON form, fulfils the expression."""
        return any(self.lets(value) for value in _at(resource, self.path))

    def lets(self, value: Any) -> bool:
        """Return True if one *value* of the attribute fulfils it."""
        compare = ONE.get(self.operator)
        wanted: Any = self.values[0] if compare is not None else self.values
        return (compare or MANY[self.operator])(_convert(value, self.type), wanted)


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """Expressions that must all be true."""

    expressions: tuple[Expression, ...] = ()

    def __call__(self, resource: Document) -> bool:
        """Return True if *resource* passes."""
        return all(expression(resource) for expression in self.expressions)

    def names(self, path: Path) -> bool:
        """Return True if an expression is about the attribute at *path*."""
        return any(one.path == path for one in self.expressions)

    def lets(self, path: Path, value: str) -> bool:
        """Return True if *value* of the attribute at *path* passes the expressions on it."""
        return all(one.lets(value) for one in self.expressions if one.path == path)


def parse(text: str, attributes: Mapping[Path, Type]) -> Filter:
    """Read a filter, already percent-decoded.

    :raises BadFilter: when its syntax, an operator, an attribute or a value is wrong.
    """
    found = [_expression(words, attributes) for words in _words(text)]
    return Filter(tuple(found))


def _words(text: str) -> Iterator[list[str]]:
    """Yield the parts of each parenthesis."""
    place, count = 0, 0
    while True:
        if text[place : place + 1] != "(":
            raise BadFilter(f"at {place}: a filter is (operator,attribute,value), joined by ';'")
        words, place = _parenthesis(text, place + 1)
        yield words
        count += 1
        if place == len(text):
            return
        if text[place] != ";" or count >= MAX_EXPRESSIONS:
            raise BadFilter(f"at {place}: expected ';' and at most {MAX_EXPRESSIONS} expressions")
        place += 1


def _parenthesis(text: str, place: int) -> tuple[list[str], int]:
    words: list[str] = []
    while True:
        word, place = _word(text, place)
        words.append(word)
        if place >= len(text):
            raise BadFilter("missing ')' at the end")
        place += 1
        if text[place - 1] == ")":
            return words, place


def _word(text: str, place: int) -> tuple[str, int]:
    if text[place : place + 1] != "'":
        end = place
        while end < len(text) and text[end] not in ",)":
            end += 1
        return text[place:end], end
    found, place = [], place + 1
    while True:
        end = text.find("'", place)
        if end < 0:
            raise BadFilter("missing ' at the end of a quoted value")
        found.append(text[place:end])
        place = end + 1
        if text[place : place + 1] != "'":
            break
        found.append("'")
        place += 1
    if text[place : place + 1] not in (",", ")", ""):
        raise BadFilter(f"at {place}: expected ',' or ')' after a quoted value")
    return "".join(found), place


def _name(text: str) -> str:
    for escaped, plain in (("~1", "/"), ("~a", ","), ("~b", "@"), ("~0", "~")):
        text = text.replace(escaped, plain)
    return text


def _expression(words: list[str], attributes: Mapping[Path, Type]) -> Expression:
    operator, name, values = words[0], words[1] if len(words) > 1 else "", words[2:]
    if operator not in ONE and operator not in MANY:
        raise BadFilter(f"unknown operator {operator!r:.40}; use {', '.join([*ONE, *MANY])}")
    path = tuple(_name(part) for part in name.split("/"))
    kind = attributes.get(path)
    if kind is None:
        raise BadFilter(f"unknown attribute {name!r:.80}, or an attribute that cannot be used in filters")
    if not values or (operator in ONE and len(values) != 1):
        raise BadFilter(f"{operator} requires {'one value' if operator in ONE else 'at least one value'}")
    if operator in ORDER and kind in (Type.WORD, Type.TRUTH):
        raise BadFilter(f"{operator} cannot be used with {name}, whose values have no order")
    if operator in CONTAINS and kind not in (Type.TEXT, Type.WORD):
        raise BadFilter(f"{operator} cannot be used with {name}, which is not text")
    try:
        converted = tuple(_convert(value, kind) for value in values)
    except ValueError as exc:
        raise BadFilter(f"{name}: {exc}") from exc
    return Expression(operator, path, converted, kind)


def _convert(value: Any, kind: Type) -> Any:
    if kind is Type.TIME:
        return parse_time(value)
    if kind is Type.TRUTH:
        if isinstance(value, bool):
            return value
        if value not in ("true", "false"):
            raise ValueError(f"{value!r:.40} must be true or false")
        return value == "true"
    return str(value)


def _at(resource: Any, path: Path) -> Iterator[Any]:
    """Yield the values at *path*, the elements of lists one by one."""
    if isinstance(resource, list):
        for element in resource:
            yield from _at(element, path)
    elif not path:
        yield resource
    elif isinstance(resource, Mapping) and path[0] in resource:
        yield from _at(resource[path[0]], path[1:])


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """The values of one attribute that a filter allows, or a superset of them, for the database."""

    values: frozenset[str] | None = None
    not_before: datetime.datetime | None = None
    not_after: datetime.datetime | None = None
    excluded: frozenset[str] = frozenset()


def bounds(wanted: Filter, path: Path) -> Bounds:
    """Return the bounds that *wanted* sets for the attribute at *path*."""
    values: frozenset[str] | None = None
    excluded: frozenset[str] = frozenset()
    lower: list[datetime.datetime] = []
    upper: list[datetime.datetime] = []
    for one in (e for e in wanted.expressions if e.path == path):
        if one.type is Type.TIME:
            lower += [one.values[0]] if one.operator in ("eq", "gt", "gte") else []
            upper += [one.values[0]] if one.operator in ("eq", "lt", "lte") else []
        elif one.operator in ("eq", "in"):
            values = frozenset(one.values) & (frozenset(one.values) if values is None else values)
        elif one.operator in ("neq", "nin"):
            excluded |= frozenset(one.values)
    return Bounds(values, max(lower, default=None), min(upper, default=None), excluded)
