"""Paging as SOL013 has it (clause 5.4): a Link to the next page, with a marker that only we can read."""

from __future__ import annotations

import base64
import binascii
import json
import urllib.parse
from typing import Any, Final

import falcon

from eventalarm.ifa_shim.alarms import Marker
from eventalarm.ifa_shim.filters import BadFilter
from eventalarm.model import parse_time

PARAMETER: Final = "nextpage_opaque_marker"


def encode(value: Any) -> str:
    """Return *value* (JSON) as an opaque text."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def decode(text: str) -> Any:
    """Return what :func:`encode` was given.

    :raises BadFilter: when the text is not one of ours.
    """
    try:
        return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, RecursionError) as exc:
        raise BadFilter("the marker is not one that this service gave out") from exc


def write_marker(marker: Marker) -> str:
    """Return the text of a place in a listing of alarms."""
    key = marker.key
    written = [key[0].isoformat(), key[1]] if isinstance(key, tuple) else key
    return encode([marker.stream, written])


def read_marker(text: str | None) -> Marker:
    """Return the place that a client came to, the start if it has none.

    :raises BadFilter: when the text is not one of ours.
    """
    if not text:
        return Marker()
    match decode(text):
        case [int(stream), None] if 0 <= stream <= 4:
            return Marker(stream)
        case [int(stream), [str(moment), str(name)]] if stream in (0, 1):
            try:
                return Marker(stream, (parse_time(moment), name))
            except ValueError:
                pass
        case [int(stream), str(name)] if 2 <= stream <= 4:
            return Marker(stream, name)
    raise BadFilter("the marker is not one that this service gave out")


def link(req: falcon.Request, resp: falcon.Response, root: str, marker: str | None) -> None:
    """Tell the client where the next page is; there is none without a marker."""
    if marker is None:
        return
    kept = [
        (name, one)
        for name, value in req.params.items()
        if name != PARAMETER
        for one in ([value] if isinstance(value, str) else value)
    ]
    query = urllib.parse.urlencode([*kept, (PARAMETER, marker)], quote_via=urllib.parse.quote)
    resp.set_header("Link", f'<{root}{req.path}?{query}>; rel="next"')
