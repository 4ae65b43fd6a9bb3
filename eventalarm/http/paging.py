"""Paging (SOL013 clause 5.4): absolute links, and an opaque marker in the link to the next page."""

from __future__ import annotations

import base64
import binascii
import json
import urllib.parse
from typing import Any, Final

import falcon

from eventalarm.exceptions import EventAlarmError

PARAMETER: Final = "nextpage_opaque_marker"


class BadMarker(EventAlarmError):
    """A paging marker that :func:`encode` did not make."""

    def __init__(self) -> None:
        super().__init__("unknown or expired paging marker")


def encode(value: Any) -> str:
    """Return *value* (JSON) as an opaque marker."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def decode(marker: str) -> Any:
    """Return the value that :func:`encode` was given.

    :raises BadMarker: when *marker* cannot be decoded.
    """
    try:
        return json.loads(base64.urlsafe_b64decode(marker + "=" * (-len(marker) % 4)))
    except (ValueError, binascii.Error, RecursionError) as exc:
        raise BadMarker from exc


class Links:
    """Absolute links to this API; *public_url* is the configured root, empty to take it from each request."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url

    def root(self, req: falcon.Request) -> str:
        """Return the URL at which the application is mounted, without a trailing slash.

        Without a public URL this follows the request, including the headers that proxies set.
        """
        return self._public_url or f"{req.scheme}://{req.netloc}{req.root_path}"

    def add_next(self, req: falcon.Request, resp: falcon.Response, marker: str | None) -> None:
        """Add the header Link to the next page, which begins at *marker*; None is the last page."""
        if marker is None:
            return
        kept = [
            (name, one)
            for name, value in req.params.items()
            if name != PARAMETER
            for one in ([value] if isinstance(value, str) else value)
        ]
        query = urllib.parse.urlencode([*kept, (PARAMETER, marker)], quote_via=urllib.parse.quote)
        resp.set_header("Link", f'<{self.root(req)}{req.path}?{query}>; rel="next"')
