"""The types of the rule language: from what a rule says to what is compared with an event."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from typing import Any, Final

import re2

from eventalarm.model import TraitValue, convert

TYPES: Final = ("string", "integer", "float", "boolean", "datetime", "none")
TRUE_WORDS: Final = frozenset({"true", "t", "yes", "y", "on", "1"})
FALSE_WORDS: Final = frozenset({"false", "f", "no", "n", "off", "0"})
# What a JSON value is when the rule does not name its type.
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
    """Return *value* as a boolean, by the words that OpenStack APIs accept.

    :raises ValueError: when it is none of them.
    """
    text = str(value).strip().lower()
    if text in TRUE_WORDS:
        return True
    if text in FALSE_WORDS:
        return False
    raise ValueError(f"not a boolean: {text[:80]!r}")


def to_type(value: object, type_name: str) -> TraitValue | bool:
    """Return *value* as one of TYPES.

    :raises ValueError: when it cannot be converted.
    """
    return to_boolean(value) if type_name == "boolean" else convert(value, type_name)


@dataclasses.dataclass(frozen=True, slots=True)
class RelativeTime:
    """A time that is said from the moment of evaluation: ``now``, ``now-5m``."""

    offset: datetime.timedelta

    def at(self, now: datetime.datetime) -> datetime.datetime:
        """Return the time that is meant at *now*."""
        return now + self.offset


def relative_time(value: object) -> RelativeTime | None:
    """Return the relative time that *value* says, or None when it says none.

    :raises ValueError: when it is more than a hundred years away.
    """
    said = RELATIVE.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 40 else None
    if said is None:
        return None
    if said["sign"] is None:
        return RelativeTime(datetime.timedelta())
    offset = datetime.timedelta(**{UNITS[said["unit"]]: int(said["count"])})
    if offset > FARTHEST:
        raise ValueError("more than a hundred years away")
    return RelativeTime(-offset if said["sign"] == "-" else offset)


def whole_number(value: object) -> int:
    """Return *value* as an integer; a fraction is refused rather than cut off.

    :raises ValueError: when it is not a whole number.
    """
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("not a whole number")
    return int(value)  # type: ignore[call-overload, no-any-return]


# How a notification rule reads the values of a type: more strictly than Aodh does, and with relative times.
READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "string": lambda value: to_type(value, "string"),
    "none": lambda value: to_type(value, "string"),
    "integer": whole_number,
    "float": lambda value: to_type(value, "float"),
    "boolean": to_boolean,
    "datetime": lambda value: relative_time(value) or to_type(value, "datetime"),
}
