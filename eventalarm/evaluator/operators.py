"""The types and operators of the rule language: what each requires of a value, and its test."""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import re2

from eventalarm.model import TraitValue, convert
from eventalarm.patterns import glob_test, regex_test

TYPES: Final = ("string", "integer", "float", "boolean", "datetime", "none")
TRUE_WORDS: Final = frozenset({"true", "t", "yes", "y", "on", "1"})
FALSE_WORDS: Final = frozenset({"false", "f", "no", "n", "off", "0"})
# The type of a JSON value where the rule gives none.
NATURAL_TYPES: Final[Mapping[type, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "float",
}
RELATIVE: Final = re2.compile(r"now(?:\s*(?P<sign>[+-])\s*(?P<count>[0-9]{1,9})\s*(?P<unit>[smhdw]))?")
UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
FARTHEST: Final = datetime.timedelta(days=36525)


def to_boolean(value: object) -> bool:
    """Convert *value* to a boolean by the words that OpenStack APIs accept.

    :raises ValueError: when it is not one of them.
    """
    text = str(value).strip().lower()
    if text in TRUE_WORDS:
        return True
    if text in FALSE_WORDS:
        return False
    raise ValueError(f"not a boolean: {text[:80]!r}")


def to_type(value: object, type_name: str) -> TraitValue | bool:
    """Convert *value* to one of TYPES.

    :raises ValueError: when it cannot be converted.
    """
    return to_boolean(value) if type_name == "boolean" else convert(value, type_name)


@dataclasses.dataclass(frozen=True, slots=True)
class RelativeTime:
    """A time relative to the time of evaluation: ``now``, ``now-5m``."""

    offset: datetime.timedelta

    def at(self, now: datetime.datetime) -> datetime.datetime:
        """Return the absolute time at *now*."""
        return now + self.offset


def relative_time(value: object) -> RelativeTime | None:
    """Return the relative time in *value*, or None if it is not one.

    :raises ValueError: when it is more than a hundred years away.
    """
    found = RELATIVE.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 40 else None
    if found is None:
        return None
    if found["sign"] is None:
        return RelativeTime(datetime.timedelta())
    offset = datetime.timedelta(**{UNITS[found["unit"]]: int(found["count"])})
    if offset > FARTHEST:
        raise ValueError("more than a hundred years away")
    return RelativeTime(-offset if found["sign"] == "-" else offset)


def whole_number(value: object) -> int:
    """Convert *value* to an integer; a fraction is rejected, not truncated.

    :raises ValueError: when it is not a whole number.
    """
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("not a whole number")
    return int(value)  # type: ignore[call-overload, no-any-return]


# How notification rules read values of each type: more strictly than Aodh, and with relative times.
READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "string": lambda value: to_type(value, "string"),
    "none": lambda value: to_type(value, "string"),
    "integer": whole_number,
    "float": lambda value: to_type(value, "float"),
    "boolean": to_boolean,
    "datetime": lambda value: relative_time(value) or to_type(value, "datetime"),
}


COMPARATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


@dataclasses.dataclass(frozen=True, slots=True)
class TextTest:
    """A compiled pattern or network; equal when the text is equal."""

    text: str
    test: Callable[[str], object] = dataclasses.field(compare=False, repr=False)


def to_regex(text: str) -> TextTest:
    """Compile a regular expression of RE2; it matches anywhere in a text.

    :raises ValueError: when it is invalid or needs too much memory.
    """
    return TextTest(text, regex_test(text))


def to_network(text: str) -> TextTest:
    """Return the test of a network such as ``10.0.0.0/8`` or ``2001:db8::/32``.

    :raises ValueError: when it is not a network.
    """
    network = ipaddress.ip_network(text.strip(), strict=False)
    return TextTest(str(network), lambda seen: ipaddress.ip_address(seen.strip()) in network)


def _glob(text: str) -> TextTest:
    return TextTest(text, glob_test(text))


def _run(seen: Any, wanted: TextTest) -> object:
    if not isinstance(seen, str):
        raise TypeError("not a string")
    return wanted.test(seen)


@dataclasses.dataclass(frozen=True, slots=True)
class Operator:
    """One operator; ``takes`` is the kind of value it requires: one, list, text, pattern or presence."""

    test: Callable[[Any, Any], Any]
    takes: str
    meaning: str
    compile: Callable[[str], Any] = str


ONE, LIST, TEXT, PATTERN, PRESENCE = "one", "list", "text", "pattern", "presence"

OPERATORS: Final[Mapping[str, Operator]] = {
    "eq": Operator(operator.eq, ONE, "equal to the value"),
    "ne": Operator(operator.ne, ONE, "not equal to the value, or absent"),
    "lt": Operator(operator.lt, ONE, "less than the value"),
    "le": Operator(operator.le, ONE, "less than or equal to the value"),
    "gt": Operator(operator.gt, ONE, "greater than the value"),
    "ge": Operator(operator.ge, ONE, "greater than or equal to the value"),
    "in": Operator(lambda seen, wanted: seen in wanted, LIST, "equal to one of the values"),
    "not_in": Operator(
        lambda seen, wanted: seen not in wanted, LIST, "equal to none of the values, or absent"
    ),
    "exists": Operator(
        lambda seen, wanted: (seen is not None) is wanted, PRESENCE, "present or (false) absent"
    ),
    "prefix": Operator(str.startswith, TEXT, "a string that begins with the value"),
    "suffix": Operator(str.endswith, TEXT, "a string that ends with the value"),
    "contains": Operator(str.__contains__, TEXT, "a string that contains the value"),
    "wildcard": Operator(_run, PATTERN, "a string that matches the pattern: ``*``, ``?``, ``[…]``", _glob),
    "regex": Operator(_run, PATTERN, "a string in which the regular expression (RE2) is found", to_regex),
    "cidr": Operator(_run, PATTERN, "an IP address in the network", to_network),
}
TESTS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {name: op.test for name, op in OPERATORS.items()}
