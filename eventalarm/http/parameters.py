"""Reads the parameters of a query that several APIs have in common."""

from __future__ import annotations

import datetime
import enum
from typing import TypeVar

import falcon

from eventalarm.exceptions import EventAlarmError
from eventalarm.model import parse_time

Word = TypeVar("Word", bound=enum.StrEnum)


class BadParameter(EventAlarmError):
    """A parameter of a query that cannot be used; the message names it and the remedy."""


def words(req: falcon.Request, name: str, kind: type[Word]) -> frozenset[Word]:
    """Return the values of a parameter that may be repeated or hold a comma-separated list.

    :raises BadParameter: when one of them is not a *kind*.
    """
    found = [part for value in texts(req, name) for part in value.split(",") if part]
    known = {one.value.lower(): one for one in kind}
    try:
        return frozenset(known[word.lower()] for word in found)
    except KeyError as exc:
        raise BadParameter(f"{name} must be one of {', '.join(kind)}") from exc


def texts(req: falcon.Request, name: str) -> list[str]:
    """Return the values of a parameter that may be repeated."""
    value = req.params.get(name, [])
    return [value] if isinstance(value, str) else list(value)


def moment(req: falcon.Request, name: str) -> datetime.datetime | None:
    """Return the time in a parameter, UTC-aware, or None; without a time zone it is read as UTC.

    :raises BadParameter: when it is not an ISO 8601 time.
    """
    text = req.get_param(name)
    try:
        return parse_time(text.strip()) if text else None
    except ValueError as exc:
        raise BadParameter(f"{name} must be an ISO 8601 time, such as 2026-11-20T23:01:36Z") from exc


def page_size(req: falcon.Request, most: int) -> int:
    """Return the maximum number of entries of a page: the parameter ``limit``, at most *most*.

    :raises BadParameter: when it is not a positive integer.
    """
    text = req.get_param("limit")
    if not text:
        return most
    if not text.isascii() or not text.isdigit() or not 0 < len(text) < 7 or int(text) < 1:
        raise BadParameter("limit must be an integer ≥ 1")
    return min(int(text), most)
