"""Rows of HAProxy's statistics."""

from __future__ import annotations

import pytest

from eventalarm.pulse.finding import Finding, Health
from eventalarm.pulse.plugins.haproxy_stats import Unreadable, evaluate, rows

HEAD = "# pxname,svname,scur,status,\n"


def proxy(frontend: str | None, backend: str | None, *servers: str) -> list[Finding]:
    lines = [f"nova,FRONTEND,3,{frontend},"] if frontend else []
    lines += [f"nova,s{number},1,{status}," for number, status in enumerate(servers, 1)]
    lines += [f"nova,BACKEND,2,{backend},"] if backend else []
    return evaluate("c", rows(HEAD + "\n".join(lines) + "\n\n"), [])


@pytest.mark.parametrize(
    ("frontend", "backend", "servers", "health", "text"),
    [
        ("OPEN", "UP", ("UP", "UP 1/3"), Health.OK, "all servers up"),
        ("OPEN", "UP", ("UP", "no check"), Health.OK, "all servers up"),
        ("OPEN", "UP", ("UP", "DOWN 1/2"), Health.WARNING, "s2 of 2 servers down"),
        ("OPEN", "DOWN", ("DOWN", "DOWN"), Health.CRITICAL, "no server: s1, s2 down"),
        ("OPEN", "DOWN", ("DOWN", "MAINT"), Health.CRITICAL, "no server: s1 down"),
        ("OPEN", "UP", ("UP", "MAINT (via a/b)"), Health.OK, "s2 in maintenance"),
        ("OPEN", "DOWN", ("MAINT", "MAINT"), Health.OK, "nova is in maintenance"),
        ("OPEN", "UP", ("UP", "DRAIN"), Health.OK, "s2 in maintenance"),
        ("OPEN", None, (), Health.OK, "open"),
        ("STOP", None, (), Health.CRITICAL, "stopped"),
        ("FULL", "UP", ("UP",), Health.WARNING, "full"),
    ],
)
def test_of_one_proxy(
    frontend: str | None, backend: str | None, servers: tuple[str, ...], health: Health, text: str
) -> None:
    (found,) = proxy(frontend, backend, *servers)
    assert (found.health, found.target) == (health, "nova (c)")
    assert text in found.summary
    assert bool(found.remedy) == found.failed
    assert found.figures["servers"] == len(servers)


def test_excluded_proxies_are_left_out() -> None:
    text = f"{HEAD}stats,FRONTEND,0,OPEN,\nglance,BACKEND,0,UP,\n"
    assert [one.target for one in evaluate("c", rows(text), ["stats"])] == ["glance (c)"]


@pytest.mark.parametrize("text", ["", "<html>", "pxname,svname\n"])
def test_another_form_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        rows(text)
