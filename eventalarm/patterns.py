"""Patterns over text that a tenant, an event or a consumer chooses; matching takes linear time.

Python's ``re`` backtracks: a hostile pattern or text can occupy it for minutes, during which it holds the
interpreter's lock. ``tests/unit/test_backtracking.py`` finds every use of it in the package.
"""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import re2

GLOB_CHARACTERS: Final = frozenset("*?[")
# Bytes of memory that one compiled expression may take.
REGEX_MEMORY: Final = 1 << 20
GLOB_MEMORY: Final = 16 << 20
# A longer pattern matches nothing: all names that it is compared with are shorter.
LONGEST_GLOB: Final = 4096
NO_CHARACTER: Final = r"[^\x00-\x{10FFFF}]"


def is_glob(text: str) -> bool:
    """Return True if *text* is a pattern rather than a name."""
    return not GLOB_CHARACTERS.isdisjoint(text)


@functools.lru_cache(maxsize=4096)
def glob_test(glob: str) -> Callable[[str], object]:
    """Return the test of an fnmatch pattern; it must match the whole text and is case-sensitive."""
    if len(glob) > LONGEST_GLOB:
        return _never
    if "?" not in glob and "[" not in glob:
        return functools.partial(_holds_in_order, glob.split("*"))
    try:
        whole = f"(?s:{''.join(_translated(glob))})"
        test: Callable[[str], object] = re2.compile(whole, _options(GLOB_MEMORY)).fullmatch
    except (re2.error, UnicodeError):
        return _never
    return test


def matches_glob(name: str, glob: str) -> bool:
    """Return True if *name* matches *glob* (fnmatch); a name that is not valid Unicode matches nothing."""
    try:
        return bool(glob_test(glob)(name))
    except UnicodeError:
        return False


def regex_test(text: str) -> Callable[[str], object]:
    """Return the test of a regular expression of RE2; it may match anywhere in the text.

    :raises ValueError: when the expression is invalid or needs too much memory.
    """
    try:
        test: Callable[[str], object] = re2.compile(text, _options(REGEX_MEMORY)).search
    except re2.error as exc:
        text = exc.args[0] if exc.args else exc
        raise ValueError(text.decode(errors="replace") if isinstance(text, bytes) else str(text)) from exc
    return test


def _options(memory: int) -> Any:
    options = re2.Options()
    options.max_mem = memory
    options.log_errors = False
    return options


def _never(_: str) -> bool:
    return False


def _holds_in_order(parts: Sequence[str], name: str) -> bool:
    """Return True if *name* consists of *parts* with any text in between: a pattern with ``*`` only.

    Most patterns are of this kind, and a call of RE2 costs ten times as much.
    """
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return name == first
    end = len(name) - len(last)
    if not name.startswith(first) or not name.endswith(last):
        return False
    place = len(first)
    for part in parts[1:-1]:
        place = name.find(part, place, end)
        if place < 0:
            return False
        place += len(part)
    return place <= end


def _translated(glob: str) -> Iterator[str]:
    place = 0
    while place < len(glob):
        character = glob[place]
        place += 1
        if character == "*":
            yield ".*"
        elif character == "?":
            yield "."
        elif character == "[" and (end := _end_of_class(glob, place)):
            yield _character_class(glob[place - 1 : end])
            place = end
        else:
            yield re2.escape(character)


def _end_of_class(glob: str, start: int) -> int:
    """Return the position after the character class that begins before *start*, or 0 if it has no end."""
    first = start + 1 if glob[start : start + 1] == "!" else start
    # A closing bracket that comes first is a member of the class.
    return glob.find("]", first + 1 if glob[first : first + 1] == "]" else first) + 1


def _character_class(text: str) -> str:
    """Translate a character class, brackets included, to RE2; fnmatch interprets its ranges."""
    translated = fnmatch.translate(text).removeprefix("(?s:").removesuffix(r")\Z")
    if translated == "(?!)":
        return NO_CHARACTER
    if not translated.startswith("["):
        return translated
    # In RE2 an opening bracket inside a class can begin a named class.
    negated = "^" if translated.startswith("[^") else ""
    return f"[{negated}{_brackets_escaped(translated[1 + len(negated) : -1])}]"


def _brackets_escaped(inner: str) -> str:
    escaped, result = False, []
    for character in inner:
        result.append("\\[" if character == "[" and not escaped else character)
        escaped = character == "\\" and not escaped
    return "".join(result)
