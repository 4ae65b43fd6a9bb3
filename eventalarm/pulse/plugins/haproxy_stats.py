"""HAProxy's statistics: the CSV of its page and of its socket. Pure."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from eventalarm.pulse.finding import Finding, Health

FRONTEND, BACKEND = "FRONTEND", "BACKEND"
REMEDY: Final = (
    "see the log of HAProxy for why the health check of {servers} fails, and start the service there"
)


class Unreadable(ValueError):
    """The text is not HAProxy's CSV."""


def rows(text: str) -> list[dict[str, str]]:
    """Return the rows of the CSV.

    :raises Unreadable: if it is something else.
    """
    if not text.startswith("# pxname,"):
        raise Unreadable("no CSV of HAProxy")
    lines = [line for line in text.removeprefix("# ").splitlines() if line]
    return [{name: value or "" for name, value in row.items() if name} for row in csv.DictReader(lines)]


def evaluate(place: str, listed: Sequence[Mapping[str, str]], exclude: Collection[str]) -> list[Finding]:
    """Return one finding for each proxy (``listen``, ``frontend`` or ``backend``), in order.

    A server in maintenance or draining is no fault, since an operator has decided that.

    :param place: which HAProxy, part of the target.
    """
    proxies: dict[str, list[Mapping[str, str]]] = {}
    for row in listed:
        if row.get("pxname") and row["pxname"] not in exclude:
            proxies.setdefault(row["pxname"], []).append(row)
    return [_proxy(f"{name} ({place})", name, of_proxy) for name, of_proxy in proxies.items()]


def _proxy(target: str, name: str, of_proxy: Sequence[Mapping[str, str]]) -> Finding:
    whole = {row["svname"]: _state(row) for row in of_proxy if row["svname"] in (FRONTEND, BACKEND)}
    servers = {row["svname"]: _state(row) for row in of_proxy if row["svname"] not in (FRONTEND, BACKEND)}
    down = [server for server, state in servers.items() if state in ("DOWN", "NOLB")]
    left_out = [server for server, state in servers.items() if state in ("MAINT", "DRAIN")]
    health, summary, remedy = _verdict(name, whole, servers, down, left_out)
    return Finding(
        target=target,
        health=health,
        summary=summary,
        remedy=remedy,
        figures=_figures(of_proxy, servers, down),
    )


def _verdict(
    name: str,
    whole: Mapping[str, str],
    servers: Mapping[str, str],
    down: Sequence[str],
    left_out: Sequence[str],
) -> tuple[Health, str, str]:
    listed, remedy = ", ".join(down), REMEDY.format(servers=", ".join(down))
    if whole.get(BACKEND) == "DOWN" and down:
        return Health.CRITICAL, f"{name} has no server: {listed} down", remedy
    if whole.get(FRONTEND) == "STOP":
        return Health.CRITICAL, f"{name} is stopped", f"on HAProxy's socket: enable frontend {name}"
    if down:
        return Health.WARNING, f"{name}: {listed} of {len(servers)} servers down", remedy
    if whole.get(FRONTEND) == "FULL":
        return Health.WARNING, f"{name} is full: further clients wait", "raise its maxconn"
    return Health.OK, _summary(name, servers, left_out), ""


def _summary(name: str, servers: Mapping[str, str], left_out: Sequence[str]) -> str:
    if not servers:
        return f"{name} is open"
    if not left_out:
        return f"{name}: all servers up"
    if len(left_out) == len(servers):
        return f"{name} is in maintenance"
    return f"{name}: {', '.join(left_out)} in maintenance, the other servers up"


def _state(row: Mapping[str, str]) -> str:
    """Return the first word: ``DOWN`` for ``DOWN 1/2``, ``MAINT`` for ``MAINT (via a/b)``."""
    words = row.get("status", "").split()
    return words[0] if words else ""


def _figures(
    of_proxy: Sequence[Mapping[str, str]], servers: Mapping[str, str], down: Sequence[str]
) -> dict[str, float]:
    sessions = [int(row["scur"]) for row in of_proxy if row["svname"] in (FRONTEND, BACKEND) and row["scur"]]
    return {
        "servers": float(len(servers)),
        "servers_down": float(len(down)),
        "sessions": float(max(sessions, default=0)),
    }
