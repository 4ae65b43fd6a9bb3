"""What answers of services mean, and requests that were not answered."""

from __future__ import annotations

import pytest

from eventalarm.exceptions import InvalidOption
from eventalarm.pulse.finding import Finding, Health
from eventalarm.pulse.plugins import endpoint, http_url, port
from eventalarm.pulse.plugins.answers import TENANT_REMEDY, Answer, Failure, Trouble, failure, shown_url
from eventalarm.pulse.plugins.service_urls import ServiceUrl

KNOWN = ServiceUrl("nova (RegionOne)", "http://c:8774/v2.1/servers?limit=1", True)
OTHER = ServiceUrl("new (RegionOne)", "http://c:8000/", False)


def of_status(status: int, one: ServiceUrl = KNOWN, project_id: str = "") -> Finding:
    return endpoint.evaluate(one, Answer(status, 0.1), slow=3.0, project_id=project_id)


@pytest.mark.parametrize(
    ("status", "health", "remedy"),
    [
        (200, Health.OK, ""),
        (204, Health.OK, ""),
        (301, Health.WARNING, "names the service itself"),
        (400, Health.WARNING, "compare the URL"),
        (401, Health.CRITICAL, "[keystone_authtoken]"),
        (403, Health.WARNING, "the role"),
        (404, Health.WARNING, "compare the URL"),
        (429, Health.WARNING, "rate limit"),
        (500, Health.CRITICAL, "the log"),
        (502, Health.CRITICAL, "its log says why it stopped"),
        (503, Health.CRITICAL, "considers down"),
        (504, Health.CRITICAL, "load of the service"),
        (599, Health.CRITICAL, "the log"),
    ],
)
def test_each_status_has_its_own_health_and_remedy(status: int, health: Health, remedy: str) -> None:
    found = of_status(status)
    assert (found.health, found.figures["http_status"]) == (health, status)
    assert remedy in found.remedy
    assert bool(found.remedy) == found.failed
    assert str(status) in found.summary or status == 301


def test_of_an_unknown_service_any_answer_but_an_internal_error_is_good() -> None:
    assert [of_status(status, OTHER).health for status in (300, 401, 404, 500)] == [
        *[Health.OK] * 3,
        Health.CRITICAL,
    ]


def test_a_slow_answer_is_a_warning_unless_slow_is_zero() -> None:
    healths = [endpoint.evaluate(KNOWN, Answer(200, 4.0), slow=slow).health for slow in (3.0, 4.0, 0.0)]
    assert healths == [Health.WARNING, Health.OK, Health.OK]


def test_a_tenant_gets_the_remedies_of_a_tenant() -> None:
    assert of_status(503, project_id="p1").remedy == TENANT_REMEDY
    refused = of_status(403, project_id="p1")
    assert (refused.health, refused.project_id) == (Health.UNKNOWN, "p1")
    assert of_status(200, project_id="p1").remedy == ""


@pytest.mark.parametrize("trouble", Trouble)
def test_each_trouble_has_its_own_summary_and_remedy(trouble: Trouble) -> None:
    found = failure("t", "http://user:secret@c:1/path?token=secret", Failure(trouble, "why", 2.5))
    others = [
        failure("t", "http://c:1/path", Failure(one, "why", 2.5)) for one in Trouble if one is not trouble
    ]
    assert found.failed
    assert "http://c:1/path" in found.summary or trouble is Trouble.CREDENTIALS
    assert "secret" not in f"{found}"
    assert found.remedy not in {one.remedy for one in others}
    assert found.summary not in {one.summary for one in others}


def test_urls_are_shown_without_secrets() -> None:
    assert shown_url("https://u:p@[::1]:8/a?b=c#d") == "https://[::1]:8/a"
    assert shown_url("http://[broken") == "an invalid URL"


def test_pages_have_a_url_and_statuses() -> None:
    assert http_url.page(" https://c/x 200, 302 ") == http_url.Page("https://c/x", frozenset({200, 302}))
    one = http_url.page("http://c")
    assert [http_url.evaluate(one, Answer(status), 3.0).health for status in (200, 302, 404, 500)] == [
        Health.OK,
        Health.OK,
        Health.CRITICAL,
        Health.CRITICAL,
    ]
    expected = http_url.Page("http://c", frozenset({401}))
    healths = [http_url.evaluate(expected, Answer(status), 3.0).health for status in (401, 200)]
    assert healths == [Health.OK, Health.CRITICAL]


@pytest.mark.parametrize("text", ["c:80", "ftp://c", "http://", "http://u:secret@c 99", "http://c ok"])
def test_a_page_that_cannot_be_read_names_option_and_remedy(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"\[eventalarm_pulse\] http_urls.*write") as caught:
        http_url.page(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("c1:80", ("c1", 80)), ("[::1]:5672", ("::1", 5672)), ("10.0.0.1:443", ("10.0.0.1", 443))],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert port.address(text) == expected


@pytest.mark.parametrize("text", ["c1", "c1:", ":80", "c1:0", "c1:99999", "c1:80/x", "::1:80", "u@c:80"])
def test_an_address_that_cannot_be_read_names_option_and_remedy(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"\[eventalarm_pulse\] ports.*HOST:PORT"):
        port.address(text)
