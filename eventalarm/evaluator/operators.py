"""The operators of the rule language, in one table: what each asks of a rule's value, and its test.

A test gets what the event holds (None when nothing) and the rule's value. A comparison that cannot be made
raises TypeError or ValueError, which counts as false. Every test takes time that is at most proportional to
the length of what the event holds times the length of the rule's value; regular expressions run in RE2, which
never goes back in the text.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from eventalarm.patterns import glob_test, regex_test

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
    """A compiled pattern or network; two are equal when their text is."""

    text: str
    test: Callable[[str], object] = dataclasses.field(compare=False, repr=False)


def to_regex(text: str) -> TextTest:
    """Compile a regular expression of RE2; it matches anywhere in a text.

    :raises ValueError: when it is none, or needs too much memory.
    """
    return TextTest(text, regex_test(text))


def to_network(text: str) -> TextTest:
    """Return the test of a network such as ``10.0.0.0/8`` or ``2001:db8::/32``.

    :raises ValueError: when it is none.
    """
    network = ipaddress.ip_network(text.strip(), strict=False)
    return TextTest(str(network), lambda seen: ipaddress.ip_address(seen.strip()) in network)


def _glob(text: str) -> TextTest:
    return TextTest(text, glob_test(text))


def _run(seen: Any, wanted: TextTest) -> object:
    if not isinstance(seen, str):
        raise TypeError("no text")
    return wanted.test(seen)


@dataclasses.dataclass(frozen=True, slots=True)
class Operator:
    """``takes`` is the kind of value that the rule gives: one, list, text, pattern or presence."""

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
    "not_in": Operator(lambda seen, wanted: seen not in wanted, LIST, "equal to none of them, or absent"),
    "exists": Operator(
        lambda seen, wanted: (seen is not None) is wanted, PRESENCE, "present or (false) absent"
    ),
    "prefix": Operator(str.startswith, TEXT, "a text that begins with the value"),
    "suffix": Operator(str.endswith, TEXT, "a text that ends with the value"),
    "contains": Operator(str.__contains__, TEXT, "a text that contains the value"),
    "wildcard": Operator(_run, PATTERN, "a text of the form of the value: ``*``, ``?``, ``[…]``", _glob),
    "regex": Operator(_run, PATTERN, "a text in which the regular expression (RE2) is found", to_regex),
    "cidr": Operator(_run, PATTERN, "an IP address in the network", to_network),
}
TESTS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {name: op.test for name, op in OPERATORS.items()}
