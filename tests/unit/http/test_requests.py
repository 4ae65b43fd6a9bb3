"""Which hosts a request may name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from eventalarm.http import requests


@pytest.mark.parametrize(
    "host",
    ["a", "a.example:8042", "127.0.0.1", "[::1]:80", "[2001:db8::1]", "A.Example.", "under_score", "a:"],
)
def test_one_well_formed_host_is_accepted(host: str) -> None:
    assert requests.host_problem({"HTTP_HOST": host, "SERVER_PROTOCOL": "HTTP/1.1"}) == ""


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a, b",
        "a,a",
        "a b",
        "a/b",
        "a@b",
        "::1",
        "[::1",
        "a:65536",
        "a:x",
        "ä.example",
        "a\r\nX: y",
        "a?b",
    ],
)
def test_invalid_hosts_are_refused(host: str) -> None:
    assert requests.host_problem({"HTTP_HOST": host, "SERVER_PROTOCOL": "HTTP/1.1"}) != ""


def test_only_http_1_0_may_leave_it_out() -> None:
    assert requests.host_problem({"SERVER_PROTOCOL": "HTTP/1.0"}) == ""
    assert requests.host_problem({"SERVER_PROTOCOL": "HTTP/1.1"}) == "missing header Host"


def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return []


def status(environ: dict[str, str], *names: str) -> int:
    found: list[str] = []
    known = requests.KnownHosts(app, names, option="--allow-host")
    known({"SERVER_PROTOCOL": "HTTP/1.1", **environ}, lambda line, _headers: found.append(line))
    return int(found[0][:3])


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:8042", "localhost.", "127.0.0.1:1", "127.9.9.9", "[::1]:8042"]
)
def test_loopback_is_always_known(host: str) -> None:
    assert status({"HTTP_HOST": host}) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.0.2.1",
        "127.0.0.1@evil",
        "0x7f000001",
    ],
)
def test_unknown_hosts_get_misdirected_request(host: str) -> None:
    assert status({"HTTP_HOST": host}) in (400, 421)


def test_a_name_can_be_allowed_and_no_other() -> None:
    assert status({"HTTP_HOST": "cloud.example:8042"}, "Cloud.Example") == 200
    assert status({"HTTP_HOST": "other.example"}, "cloud.example") == 421
    assert status({"HTTP_HOST": "[2001:db8::1]:1"}, "2001:db8::1") == 200


def test_listening_on_every_address_makes_every_address_known_but_no_name() -> None:
    assert status({"HTTP_HOST": "192.0.2.1:8042"}, "0.0.0.0") == 200
    assert status({"HTTP_HOST": "evil.example"}, "0.0.0.0") == 421
    assert status({"HTTP_HOST": "192.0.2.1", "HTTP_ORIGIN": "http://192.0.2.1"}, "::") == 200
    assert status({"HTTP_HOST": "192.0.2.1", "HTTP_ORIGIN": "http://198.51.100.1"}, "::") == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://evil.example:8042", ""])
def test_pages_of_other_hosts_are_refused(origin: str) -> None:
    assert status({"HTTP_HOST": "127.0.0.1:8042", "HTTP_ORIGIN": origin}) == 421


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8042", "http://localhost:3000"])
def test_pages_of_this_machine_are_not(origin: str) -> None:
    assert status({"HTTP_HOST": "127.0.0.1:8042", "HTTP_ORIGIN": origin}) == 200
