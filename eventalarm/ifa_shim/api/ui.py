"""``/ui``: the NOC dashboard, static files that read the alarms from this API."""

from __future__ import annotations

import html
import pathlib
import urllib.parse
from typing import Final

import falcon

PATH: Final = "/ui"
DIRECTORY: Final = pathlib.Path(__file__).parents[1] / "ui"
SCRIPT: Final = "text/javascript; charset=utf-8"
FILES: Final = {
    "noc.css": "text/css; charset=utf-8",
    "noc.js": SCRIPT,
    "service.js": SCRIPT,
}
PATHS: Final = (PATH, *(f"{PATH}/{name}" for name in FILES))
HEADERS: Final = {
    # No external and no inline code: a name that looks like markup is not executed.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Page:
    """The page; it contains the path of the API and how callers are authenticated (*auth_mode*)."""

    media_types = ("text/html",)

    def __init__(self, public_url: str, auth_mode: str) -> None:
        self._path = urllib.parse.urlsplit(public_url).path.rstrip("/") if public_url else None
        self._auth_mode = auth_mode
        self._text = (DIRECTORY / "index.html").read_text(encoding="utf-8")

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the page. Its links stay on the host of the request, whatever the public URL is."""
        root = html.escape(req.root_path if self._path is None else self._path)
        resp.text = self._text.replace("__ROOT__", root).replace("__AUTH__", self._auth_mode)
        resp.content_type = "text/html; charset=utf-8"
        resp.set_headers(HEADERS)


class Asset:
    """One file of the page."""

    def __init__(self, name: str) -> None:
        self._text = (DIRECTORY / name).read_text(encoding="utf-8")
        self._content_type = FILES[name]
        self.media_types = (self._content_type.partition(";")[0],)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the file."""
        resp.text = self._text
        resp.content_type = self._content_type
        resp.set_headers(HEADERS)
