"""Check ``http``: URLs answer with an expected status."""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Iterable
from functools import partial
from typing import ClassVar, Final

from eventalarm.exceptions import InvalidOption
from eventalarm.pulse.checks import CheckContext, Probe
from eventalarm.pulse.finding import Finding, Health
from eventalarm.pulse.plugins.answers import Answer, Failure, failure, refusal, shown_url
from eventalarm.pulse.plugins.endpoint import timed
from eventalarm.pulse.plugins.web import Web

OPTION: Final = "[eventalarm_pulse] http_urls"


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """A URL, and the status codes that are healthy; none stands for all below 400."""

    url: str
    statuses: frozenset[int] = frozenset()


def page(text: str) -> Page:
    """Read one value of the option.

    :raises InvalidOption: with the remedy; the value is not repeated with its password.
    """
    url, _, statuses = text.strip().partition(" ")
    require_http(OPTION, url)
    numbers = [one.strip() for one in statuses.split(",")] if statuses.strip() else []
    if not all(one.isdigit() and 100 <= int(one) <= 599 for one in numbers):
        raise InvalidOption(
            OPTION,
            f"{shown_url(url)} {statuses}: status codes must be numbers from 100 to 599",
            "write them behind the URL, separated by commas: https://host/ 200,302",
        )
    return Page(url, frozenset(map(int, numbers)))


def require_http(option: str, url: str) -> None:
    """Raise InvalidOption unless *url* is one of http or https with a host."""
    try:
        parts = urllib.parse.urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise InvalidOption(
            option, f"{shown_url(url)!r} is not a URL", "write http://HOST:PORT/PATH, or https"
        )


class Http:
    """One GET to each configured URL."""

    description: ClassVar[str] = "URLs of http_urls answer with an expected status"
    for_tenants: ClassVar[bool] = False

    def __init__(self, context: CheckContext) -> None:
        self._context = context

    def probes(self) -> Iterable[Probe]:
        """Return one probe for each URL.

        :raises InvalidOption: when one cannot be read.
        """
        pages = [page(text) for text in self._context.options.http_urls]
        if not pages:
            return []
        web = Web(self._context.options.cafile or True)
        return [Probe(shown_url(one.url), partial(self._look, web, one)) for one in pages]

    def _look(self, web: Web, one: Page) -> list[Finding]:
        found = web.get(one.url, self._context.timeout)
        return [evaluate(one, found, self._context.options.slow)]


def evaluate(one: Page, found: Answer | Failure, slow: float) -> Finding:
    """Return what the answer means."""
    target = shown_url(one.url)
    if isinstance(found, Failure):
        return failure(target, one.url, found)
    if found.status in one.statuses or (not one.statuses and found.status < 400):
        return timed(target, one.url, found, slow)
    return dataclasses.replace(refusal(target, one.url, found), health=Health.CRITICAL)
