"""One page of a list, the newest entries first."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Generic, TypeVar

Entry = TypeVar("Entry")
Rest = TypeVar("Rest", int, str)


@dataclasses.dataclass(frozen=True, slots=True)
class Page(Generic[Entry, Rest]):
    """Entries, the newest first; the next page begins after ``reached``, which is None at the end.

    ``reached`` is the time of an entry, and what distinguishes it from others of that time. A page can be
    short, or empty, while there is a next one.
    """

    entries: list[Entry]
    reached: tuple[datetime.datetime, Rest] | None
