"""Action URLs: parsed as they are written, and shown and matched without their secrets."""

from __future__ import annotations

import pytest

from eventalarm.delivery import action
from eventalarm.exceptions import DeliveryError


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("http://h/", ("http", "h", 80)),
        ("HTTPS://H.example", ("https", "h.example", 443)),
        ("http://user:pw@h:8080/a", ("http", "h", 8080)),
        ("http://[::1]:81/", ("http", "::1", 81)),
        ("trust+http://trust@h/", ("trust+http", "h", 80)),
        ("zaqar://?queue_name=q", ("zaqar", "", 0)),
        ("http://h:99999/", ("", "", 0)),
        ("http://[::1/", ("", "", 0)),
        ("log:/\n/x", ("", "", 0)),
    ],
)
def test_destinations(text: str, place: tuple[str, str, int]) -> None:
    assert action.place(text) == place


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("http://h:80/a/b?c", "http://h:80/"),
        ("http://h?c=/", "http://h?"),
        ("http://h", "http://h"),
        ("zaqar://?q", "zaqar://?"),
        ("odd", "odd"),
    ],
)
def test_the_start_of_an_action_ends_behind_its_port(text: str, start: str) -> None:
    assert action.start(text) == start


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("http://h/a%2Fb/../c;x=%7e?q=a+b%20c&e=&=f#frag", "/a%2Fb/../c;x=%7e?q=a+b%20c&e=&=f"),
        ("http://h?x=%2f&a=b", "/?x=%2f&a=b"),
        ("http://h", "/"),
        ("http://h/?aodh-alarm-ssl-verify=0", "/?aodh-alarm-ssl-verify=0"),
        ("http://h/caf\u00e9 x", "/caf%C3%A9%20x"),
    ],
)
def test_path_and_query_stay_as_they_were_written(text: str, sent: str) -> None:
    assert action.http_url(text).raw_path_qs == sent


@pytest.mark.parametrize(
    "text",
    [
        "http://",
        "http:///path",
        "http://h:x/",
        "http://h:99999/",
        "http://h/a\r\nX-Evil: 1",
        "http://h/\x00",
        "http://[::1/",
        "http://\u4e2d\u6587:\u4e2d@h/",
        "odd",
        "",
    ],
)
def test_an_invalid_url_is_a_permanent_failure(text: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        action.http_url(text)
    assert caught.value.reason == "bad_action"
    assert caught.value.permanent


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
    ("https://chat/services/T01/B01/s3cr3tXk3v9QpLm2Zr8TyWc5/x", "https://chat/services/T01/B01/***/x"),
    (
        "http://h/v1/4f5c1e0d9b8a4c7d8e6f5a4b3c2d1e0f/stacks/0b1c2d3e-4f5a-6b7c-8d9e-0f1a2b3c4d5e/signal",
        "http://h/v1/4f5c1e0d9b8a4c7d8e6f5a4b3c2d1e0f/stacks/0b1c2d3e-4f5a-6b7c-8d9e-0f1a2b3c4d5e/signal",
    ),
    ("log://", "log:"),
    ("mailto:s3cr3t@example.org", "mailto:***@example.org"),
    ("", ""),
]


@pytest.mark.parametrize(("url", "shown"), MASKED)
def test_no_secret_is_shown(url: str, shown: str) -> None:
    assert action.masked(url).rstrip("/") == shown.rstrip("/")
    assert "s3cr3t" not in action.masked(url)


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


@pytest.mark.parametrize(("wanted", "url", "meant"), MEANT)
def test_a_filter_means_a_host_or_the_beginning_of_a_url(wanted: str, url: str, meant: bool) -> None:
    assert action.goes_to(wanted)(url) is meant
    if meant:
        assert action.hint(wanted)
        assert action.hint(wanted) in url.lower()


@pytest.mark.parametrize("wanted", ["", "  ", "http://", "/hook", "http:///hook"])
def test_a_text_without_a_host_gives_no_hint(wanted: str) -> None:
    assert action.hint(wanted) == ""
