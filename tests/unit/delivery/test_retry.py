from __future__ import annotations

import datetime

import pytest

from eventalarm.delivery import retry
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.exceptions import DeliveryError
from eventalarm.model import DeliveryState
from tests.support.deliveries import NOW, longest, make_delivery

OPTIONS = DeliveryOptions(max_attempts=4, retry_initial=0.5, retry_max=3.0, retry_after_max=20.0)


def test_a_failed_attempt_is_repeated_until_the_attempts_are_used_up() -> None:
    error = DeliveryError("timeout", "no answer")
    first = retry.failed(make_delivery(), error, OPTIONS, longest)
    assert (first.state, first.attempts, first.retry_in) == (DeliveryState.PENDING, 1, 0.5)
    assert first.error == "timeout: no answer"
    last = retry.failed(make_delivery(attempts=3), error, OPTIONS, longest)
    assert (last.state, last.attempts) == (DeliveryState.FAILED, 4)


def test_a_permanent_failure_is_final() -> None:
    result = retry.failed(make_delivery(), retry.of_status(410), OPTIONS, longest)
    assert (result.state, result.status, result.attempts) == (DeliveryState.FAILED, 410, 1)


@pytest.mark.parametrize(
    ("asked", "wait"),
    [(None, 0.5), (0.0, 0.5), (7.0, 7.0), (3600.0, 20.0)],
)
def test_a_consumer_may_ask_for_a_longer_wait_within_bounds(asked: float | None, wait: float) -> None:
    result = retry.failed(make_delivery(), retry.of_status(429, asked), OPTIONS, longest)
    assert result.retry_in == wait


@pytest.mark.parametrize(
    ("status", "reason", "permanent"),
    [
        (301, "redirect", True),
        (302, "redirect", False),
        (400, "http_4xx", True),
        (401, "http_4xx", False),
        (403, "http_4xx", False),
        (404, "http_4xx", False),
        (408, "http_4xx", False),
        (410, "http_4xx", True),
        (413, "http_4xx", True),
        (425, "http_4xx", False),
        (429, "http_4xx", False),
        (500, "http_5xx", False),
        (501, "http_5xx", True),
        (503, "http_5xx", False),
    ],
)
def test_which_answers_are_final(status: int, reason: str, permanent: bool) -> None:
    error = retry.of_status(status)
    assert (error.reason, error.permanent, error.status) == (reason, permanent, status)


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, None, None),
        ("5", None, 5.0),
        (" 5 ", None, 5.0),
        ("-5", None, None),
        ("1.5", None, None),
        ("nan", None, None),
        ("\u0665", None, None),
        ("9" * 4000, None, 999999999.0),
        ("soon", None, None),
        ("Fri, 01 May 2026 12:00:30 GMT", None, 30.0),
        ("Fri, 01 May 2026 11:00:00 GMT", None, 0.0),
        # The consumer's clock is an hour fast: its own Date says what it means.
        ("Fri, 01 May 2026 13:00:30 GMT", "Fri, 01 May 2026 13:00:00 GMT", 30.0),
        ("Fri, 01 May 2026 12:00:30 GMT", "nonsense", 30.0),
        ("Fri, 99 May 2026 12:00:30 GMT", None, None),
    ],
)
def test_reading_retry_after(value: str | None, date: str | None, seconds: float | None) -> None:
    assert retry.retry_after(value, date, NOW) == seconds


def test_reading_retry_after_without_a_zone() -> None:
    assert retry.retry_after("Fri, 01 May 2026 12:00:30 -0000", None, NOW) == 30.0
    assert NOW.tzinfo is datetime.UTC
