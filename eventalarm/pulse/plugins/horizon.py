"""Check ``horizon``: the login page works, and if there is a user, the login."""

from __future__ import annotations

import html.parser
import urllib.parse
from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar, Final

from eventalarm.pulse.checks import CheckContext, Probe
from eventalarm.pulse.finding import Finding, Health
from eventalarm.pulse.plugins.answers import Answer, Failure, failure, refusal, shown_url, unreadable
from eventalarm.pulse.plugins.endpoint import timed
from eventalarm.pulse.plugins.http_url import require_http
from eventalarm.pulse.plugins.web import Web

OPTION: Final = "[eventalarm_pulse] horizon_url"
CSRF: Final = "csrfmiddlewaretoken"


class Horizon:
    """One GET of the login page; with a user, a POST of its form."""

    description: ClassVar[str] = "Horizon's login page works, and the login of horizon_username"
    for_tenants: ClassVar[bool] = False

    def __init__(self, context: CheckContext) -> None:
        self._context = context

    def probes(self) -> Iterable[Probe]:
        """Return the one look, if there is a URL.

        :raises InvalidOption: when it cannot be read.
        """
        url = self._context.options.horizon_url
        if not url:
            return []
        require_http(OPTION, url)
        return [Probe(shown_url(url), partial(self._look, f"{url.rstrip('/')}/auth/login/"))]

    def _look(self, url: str) -> list[Finding]:
        options, target = self._context.options, shown_url(self._context.options.horizon_url)
        # The login takes a session of its own, and half of the time.
        web = Web(options.cafile or True)
        timeout = self._context.timeout / (2 if options.horizon_username else 1)
        found = web.get(url, timeout)
        page = of_page(target, url, found, options.slow)
        if page.failed or not options.horizon_username or isinstance(found, Failure):
            return [page]
        form = {
            **hidden_fields(found.text),
            "username": options.horizon_username,
            "password": options.horizon_password,
            "domain": options.horizon_domain,
        }
        # Django compares it with the host over https.
        answer = web.get(url, timeout, {"Referer": url}, method="POST", data=form)
        return [of_login(target, url, answer, page, "sessionid" in web.cookies)]


class _Fields(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given: dict[str, Any] = dict(attrs)
        if tag == "input" and given.get("type") == "hidden" and given.get("name"):
            self.hidden.setdefault(given["name"], given.get("value") or "")


def hidden_fields(text: str) -> dict[str, str]:
    """Return the hidden fields of the forms of a page."""
    reader = _Fields()
    reader.feed(text)
    return reader.hidden


def of_page(target: str, url: str, found: Answer | Failure, slow: float) -> Finding:
    """Return what the answer to the GET means: a page without the form of the login is none of Horizon."""
    if isinstance(found, Failure):
        return failure(target, url, found)
    if found.status != 200:
        return refusal(target, url, found)
    if CSRF not in hidden_fields(found.text):
        return unreadable(target, url, "no login form")
    return timed(target, url, found, slow)


def of_login(target: str, url: str, found: Answer | Failure, page: Finding, has_session: bool) -> Finding:
    """Return what the answer to the login means: Horizon redirects after a good one, and sets a session."""
    if isinstance(found, Failure):
        return failure(target, url, found)
    seconds = page.figures["seconds"] + found.seconds
    if found.status in (302, 303) and has_session:
        place = urllib.parse.urlsplit(found.location).path
        if not place.rstrip("/").endswith("/auth/login"):
            return Finding(
                target=target,
                health=Health.OK,
                summary=f"the login to {shown_url(url)} works after {seconds:.2f} s",
                figures={"seconds": round(seconds, 3)},
            )
    if found.status >= 400:
        return refusal(target, url, found)
    return Finding(
        target=target,
        health=Health.CRITICAL,
        summary=f"{shown_url(url)} refuses the login",
        remedy="check horizon_username and horizon_password, then Horizon's log and its cache of sessions",
        figures={"seconds": round(seconds, 3), "http_status": found.status},
    )
