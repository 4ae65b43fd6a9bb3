"""Check ``haproxy``: servers and backends are up, by the page of statistics or the stats socket."""

from __future__ import annotations

import pathlib
import socket
import time
from collections.abc import Iterable
from functools import partial
from typing import ClassVar, Final

from eventalarm.pulse.checks import CheckContext, Probe
from eventalarm.pulse.finding import Finding
from eventalarm.pulse.plugins import haproxy_stats
from eventalarm.pulse.plugins.answers import (
    Answer,
    Failure,
    Trouble,
    failure,
    host_of,
    refusal,
    shortened,
    unreadable,
)
from eventalarm.pulse.plugins.http_url import require_http
from eventalarm.pulse.plugins.web import LIMIT, Web

OPTION: Final = "[eventalarm_pulse] haproxy_stats"
CSV: Final = ";csv"


class HAProxy:
    """The CSV of each HAProxy."""

    description: ClassVar[str] = "HAProxy's backends and their servers are up"
    for_tenants: ClassVar[bool] = False

    def __init__(self, context: CheckContext) -> None:
        self._context = context

    def probes(self) -> Iterable[Probe]:
        """Return one probe for each HAProxy.

        :raises InvalidOption: when a URL cannot be read.
        """
        sources = [source.strip() for source in self._context.options.haproxy_stats]
        web = Web(self._context.options.cafile or True) if any(map(_is_url, sources)) else None
        for source in filter(_is_url, sources):
            require_http(OPTION, source)
        return [Probe(_place(source), partial(self._look, web, source)) for source in sources]

    def _look(self, web: Web | None, source: str) -> list[Finding]:
        timeout, place = self._context.timeout, _place(source)
        if web is not None and _is_url(source):
            found = web.get(source if source.endswith(CSV) else f"{source}{CSV}", timeout)
        else:
            found = by_socket(_path(source), timeout)
        if isinstance(found, Failure):
            return [failure(place, source, found)]
        if found.status != 200:
            return [refusal(place, source, found)]
        try:
            listed = haproxy_stats.rows(found.text)
        except haproxy_stats.Unreadable as exc:
            return [unreadable(place, source, str(exc))]
        return haproxy_stats.evaluate(place, listed, self._context.options.haproxy_exclude)


def _is_url(source: str) -> bool:
    return "://" in source and not source.startswith("unix://")


def _path(source: str) -> str:
    return source.removeprefix("unix://")


def _place(source: str) -> str:
    return host_of(source) if _is_url(source) else _path(source)


def by_socket(path: str, timeout: float) -> Answer | Failure:
    """Return what the stats socket at *path* answers to ``show stat``."""
    begun = time.monotonic()
    try:
        text = _ask(pathlib.Path(path), begun + timeout)
    except TimeoutError:
        return Failure(Trouble.TIMEOUT, "", time.monotonic() - begun)
    except ConnectionRefusedError:
        return Failure(Trouble.REFUSED, "", time.monotonic() - begun)
    except OSError as exc:
        return Failure(Trouble.CONNECTION, shortened(str(exc)), time.monotonic() - begun)
    return Answer(200, time.monotonic() - begun, text)


def _ask(path: pathlib.Path, deadline: float) -> str:
    pieces: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(max(0.001, deadline - time.monotonic()))
        end.connect(str(path))
        end.sendall(b"show stat\n")
        while (piece := end.recv(65536)) and sum(map(len, pieces)) < LIMIT:
            pieces.append(piece)
            end.settimeout(max(0.001, deadline - time.monotonic()))
    return b"".join(pieces).decode(errors="replace")
