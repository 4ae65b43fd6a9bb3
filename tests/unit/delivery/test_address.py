"""Destinations for people: nothing secret is shown, and filters mean what they say."""

from __future__ import annotations

import pytest

from eventalarm.delivery import address

MASKED = [
    ("http://example.org/hook", "http://example.org/hook"),
    ("https://user:s3cr3t@example.org:8443/hook", "https://***@example.org:8443/hook"),
    ("https://s3cr3t@example.org", "https://***@example.org"),
    ("trust+https://s3cr3t:delete@heat:8004/v1/signal", "trust+https://***@heat:8004/v1/signal"),
    ("http://h/?Signature=s3cr3t&x=s3cr3t", "http://h/?Signature=***&x=***"),
    ("http://h/p?s3cr3t", "http://h/p?***"),
    ("http://h/p?a=s3cr3t=s3cr3t;b=", "http://h/p?a=***;b=***"),
    ("http://h/p#s3cr3t", "http://h/p#***"),
    ("http://user:s3cr3t@s3cr3t@h/p", "http://***@h/p"),
    ("http://user:s3cr3t@[::1/p", "http:***"),
    ("http://h:99999999/s3cr3t?s3cr3t", "http:***"),
    ("s3cr3t\nwords", "***"),
    ("log://", "log:"),
    ("mailto:s3cr3t@example.org", "mailto:***@example.org"),
    ("", ""),
]


@pytest.mark.parametrize(("action", "shown"), MASKED)
def test_nothing_secret_is_shown(action: str, shown: str) -> None:
    assert address.masked(action).rstrip("/") == shown.rstrip("/")
    assert "s3cr3t" not in address.masked(action)


MEANT = [
    ("example.org", "http://example.org/hook", True),
    ("EXAMPLE.org", "https://u:p@Example.ORG:8443/", True),
    ("example.org", "http://example.org.evil/", False),
    ("example.org", "http://other/?next=example.org", False),
    ("example.org:8443", "https://example.org:8443/", True),
    ("example.org:443", "https://example.org/", True),
    ("example.org:8443", "https://example.org/", False),
    ("http://example.org", "http://example.org/hook", True),
    ("http://example.org", "http://example.org.evil/hook", False),
    ("http://example.org", "http://example.org:8080/hook", False),
    ("http://example.org/v1/", "http://u:p@example.org/v1/hook?t=1", True),
    ("http://example.org/v1/", "http://example.org/v2/hook", False),
    ("http://u:p@example.org/v1/", "http://example.org/v1/hook", True),
    ("::1", "http://[::1]:80/", True),
    ("[::1]:80", "http://[::1]/", True),
]


@pytest.mark.parametrize(("wanted", "action", "meant"), MEANT)
def test_a_filter_means_a_host_or_the_beginning_of_a_url(wanted: str, action: str, meant: bool) -> None:
    assert address.goes_to(wanted)(action) is meant
    if meant:
        assert address.hint(wanted)
        assert address.hint(wanted) in action.lower()


@pytest.mark.parametrize("wanted", ["", "  ", "http://", "/hook", "http:///hook"])
def test_what_names_no_host_gives_no_hint(wanted: str) -> None:
    assert address.hint(wanted) == ""
