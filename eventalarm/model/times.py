"""Points in time: always aware UTC datetimes."""

from __future__ import annotations

import datetime
from typing import Final

from dateutil import parser as date_parser

UTC: Final = datetime.UTC

# Before every event; stands for "never" where a time is required.
EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=UTC)

# Longer texts are not dates.
LONGEST_TIME: Final = 80
DIGITS: Final = frozenset("0123456789")


def parse_time(value: object) -> datetime.datetime:
    """Return *value* (ISO 8601 text or a datetime; naive means UTC) as an aware UTC datetime.

    :raises ValueError: when the text is not a date.
    """
    if isinstance(value, str):
        try:
            moment = datetime.datetime.fromisoformat(value)
        except ValueError:
            try:
                moment = date_parser.isoparse(_with_two_digits(value.strip()))
            except (ValueError, OverflowError) as exc:
                raise ValueError(f"not an ISO 8601 date: {value[:80]!r}") from exc
    elif isinstance(value, datetime.datetime):
        moment = value
    else:
        raise ValueError(f"not an ISO 8601 date: {type(value).__name__}")
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as exc:
        raise ValueError("date out of range") from exc


def _with_two_digits(text: str) -> str:
    """Return *text* with one-digit fields padded to two digits, as in 2026-5-1.

    One-digit fields are not ISO 8601, but Aodh accepts them.
    """
    if len(text) > LONGEST_TIME:
        raise ValueError("longer than a date")
    pieces = []
    for place, character in enumerate(text):
        begins = character in DIGITS and text[place - 1 : place] in ("-", ":")
        pieces.append("0" if begins and text[place + 1 : place + 2] not in DIGITS else "")
        pieces.append(character)
    return "".join(pieces)
