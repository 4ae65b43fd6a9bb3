from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from eventalarm.delivery import dead_letters
from eventalarm.delivery.dead_letters import DeadLetterLog
from tests.support.deliveries import make_delivery

SECRET = "s3cret"


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def report(clock: list[float]) -> Callable[..., None]:
    return DeadLetterLog(lambda: clock[0]).report


def test_a_line_names_everything_but_the_secrets(
    report: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    item = make_delivery(f"http://user:{SECRET}@h.example/p?token={SECRET}", alarm_id="alarm-x")
    report(item, 10, "http_5xx: HTTP 503")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    text = record.getMessage()
    for part in (item.delivery_id, "alarm-x", "project p", "h.example/p", "HTTP 503", "10 attempt"):
        assert part in text
    assert f"eventalarm-delivery retry {item.delivery_id}" in text
    assert SECRET not in text


def test_one_project_cannot_fill_the_log(
    report: Callable[..., None], clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(dead_letters.LINES + 90):
        report(make_delivery(), 1, "dns")
    assert len(caplog.records) == dead_letters.LINES
    report(make_delivery(project_id="other"), 1, "dns")
    assert len(caplog.records) == dead_letters.LINES + 1
    clock[0] = dead_letters.SECONDS
    report(make_delivery(), 1, "dns")
    assert "90 more of this project" in caplog.records[-1].getMessage()


def test_an_ended_subscription_is_not_logged(
    report: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    report(make_delivery(), 1, "unsubscribed: the subscription ended", "unsubscribed")
    assert caplog.records == []
