"""Reading the fields of a scenario: each error names the field, the problem and the remedy. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from eventalarm.exceptions import EventAlarmError

# The longest time that a scenario may name, in seconds: a week.
LONGEST: Final = 7 * 86400.0
REQUIRED: Final = object()


class InvalidScenario(EventAlarmError):
    """A scenario that cannot be run; *field* names the invalid part, *remedy* says how to correct it."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}; {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy


class Fields:
    """The members of an object; *where* names it in errors. Call :meth:`done` after the last one was read.

    :raises InvalidScenario: if *value* is not an object.
    """

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, Mapping):
            raise InvalidScenario(where or "scenario", "is not an object", "write one NAME: VALUE a line")
        self.where = where
        self._values: Mapping[Any, Any] = value
        self._read: set[str] = set()

    def path(self, name: str) -> str:
        """Return the name of a member as errors show it."""
        return f"{self.where}.{name}" if self.where else name

    def wrong(self, name: str, problem: str, remedy: str) -> InvalidScenario:
        """Return the error about a member."""
        return InvalidScenario(self.path(name), problem, remedy)

    def value(self, name: str, default: object = REQUIRED) -> Any:
        """Return a member as it is.

        :raises InvalidScenario: if it is missing and has no default.
        """
        self._read.add(name)
        if self._values.get(name) is None:
            if default is REQUIRED:
                raise self.wrong(name, "is missing", "add it")
            return default
        return self._values[name]

    def text(self, name: str, default: object = REQUIRED, choices: Collection[str] = ()) -> str:
        """Return a non-empty string, or the default."""
        found = self.value(name, default)
        if isinstance(found, int | float) and not isinstance(found, bool):
            found = str(found)
        if found is not default and (not isinstance(found, str) or not found.strip()):
            raise self.wrong(name, "must be a non-empty string", "write one")
        if choices and found is not default and found not in choices:
            raise self.wrong(name, f"unknown value {found!r}", f"choose one of {', '.join(sorted(choices))}")
        return str(found)

    def number(
        self, name: str, default: object = REQUIRED, low: float = 0.0, high: float = math.inf
    ) -> float | None:
        """Return a number in the bounds, or the default."""
        found = self.value(name, default)
        return found if found is None else self._bounded(name, found, low, high)

    def _bounded(self, name: str, found: object, low: float, high: float) -> float:
        bounds = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
        if isinstance(found, bool) or not isinstance(found, int | float) or not low <= found <= high:
            raise self.wrong(name, f"{found!r} is not a number {bounds}", "correct it")
        return float(found)

    def seconds(self, name: str, default: object = REQUIRED, low: float = 0.0) -> float:
        """Return a time in seconds, up to a week."""
        found = self.number(name, default, low, LONGEST)
        return 0.0 if found is None else found

    def whole(self, name: str, default: object = REQUIRED, low: int = 0, high: int = 1_000_000_000) -> int:
        """Return an integer in the bounds, or the default."""
        found = self.number(name, default, low, high)
        if found is None or found % 1:
            raise self.wrong(name, f"{found!r} is not an integer", "correct it")
        return int(found)

    def span(self, name: str, default: object = REQUIRED) -> tuple[float, float]:
        """Return the least and the most of a time in seconds: a number, or a list of two."""
        found = self.value(name, default)
        pair = found if isinstance(found, list | tuple) else (found, found)
        if len(pair) != 2:
            raise self.wrong(name, "must be seconds, or a list of the least and the most", "correct it")
        low, high = (self._bounded(name, one, 0.0, LONGEST) for one in pair)
        if low > high:
            raise self.wrong(name, "the least is larger than the most", "exchange them")
        return low, high

    def flag(self, name: str, default: bool = False) -> bool:
        """Return true or false."""
        found = self.value(name, default)
        if not isinstance(found, bool):
            raise self.wrong(name, f"{found!r} is neither true nor false", "write true or false")
        return found

    def items(self, name: str, default: object = REQUIRED) -> Sequence[Any]:
        """Return a list."""
        found = self.value(name, default)
        if not isinstance(found, list | tuple):
            raise self.wrong(name, "must be a list", "begin each item with a hyphen")
        return found

    def texts(self, name: str, default: object = REQUIRED) -> tuple[str, ...]:
        """Return a list of strings; numbers become strings."""
        found = self.items(name, default)
        if not all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in found):
            raise self.wrong(name, "must be a list of strings", "quote them")
        return tuple(str(one) for one in found)

    def mapping(self, name: str, default: object = REQUIRED) -> Mapping[str, Any]:
        """Return an object, the names of whose members are strings."""
        found = self.value(name, default)
        if not isinstance(found, Mapping) or not all(isinstance(one, str) for one in found):
            raise self.wrong(name, "must be an object", "write one NAME: VALUE a line")
        return found

    def rest(self) -> dict[str, Any]:
        """Return all members that were not read, and count them as read."""
        found = {str(name): value for name, value in self._values.items() if name not in self._read}
        self._read |= found.keys()
        return found

    def done(self) -> None:
        """Refuse members that were not read.

        :raises InvalidScenario: naming the first one, and those that exist.
        """
        unknown = [str(name) for name in self._values if name not in self._read]
        if unknown:
            known = ", ".join(sorted(self._read))
            raise self.wrong(unknown[0], "unknown field", f"remove it; known: {known}")
