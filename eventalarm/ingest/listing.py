"""Lists of the ingest API: a page of what a project owns, the newest first, with a link to the next one."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any, Generic

import falcon

from eventalarm.http.parameters import page_size
from eventalarm.http.responses import MARKER, BadMarker, Links, decode_marker, encode_marker
from eventalarm.model import JSONDict, parse_time
from eventalarm.storage.pages import Entry, Page, Rest

# Databases have no larger integers.
LARGEST = 2**63


class Listing(Generic[Entry, Rest]):
    """Responds to requests for pages of one kind of entries.

    :param most: the maximum number of entries of a page, and its default.
    :param rest: the type of what a position holds beside its time.
    :param shown: returns an entry as clients see it.
    """

    def __init__(self, most: int, rest: type[Rest], shown: Callable[[Entry], JSONDict]) -> None:
        self._most = most
        self._rest: type[Rest] = rest
        self._shown = shown
        self._links = Links("")

    def respond(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        read: Callable[[tuple[datetime.datetime, Rest] | None, int], Page[Entry, Rest]],
    ) -> None:
        """Respond with the page that *read* returns, given the position before it and its size.

        :raises BadMarker: when the marker of the request was not returned by this list.
        :raises eventalarm.http.parameters.BadParameter: when ``limit`` is invalid.
        """
        page = read(self._after(req), page_size(req, self._most))
        if page.reached is not None:
            moment, rest = page.reached
            self._links.add_next(req, resp, encode_marker([moment.isoformat(), rest]))
        resp.text = json.dumps([self._shown(one) for one in page.entries])

    def _after(self, req: falcon.Request) -> tuple[datetime.datetime, Rest] | None:
        text = req.get_param(MARKER)
        if not text:
            return None
        match decode_marker(text):
            case [str(moment), rest] if self._is_rest(rest):
                try:
                    return parse_time(moment), rest
                except ValueError as exc:
                    raise BadMarker from exc
        raise BadMarker

    def _is_rest(self, value: Any) -> bool:
        # Not isinstance, by which True is an integer.
        return type(value) is self._rest and (not isinstance(value, int) or abs(value) < LARGEST)
