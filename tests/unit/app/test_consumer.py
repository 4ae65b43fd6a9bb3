"""What a listener knows about its consumer of the broker."""

from __future__ import annotations

import logging
import threading

import pytest

from eventalarm.app.consumer import LONGEST_POLL, BrokerReport


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_refusal_is_failing_and_logged_once_until_messages_are_consumed_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    report = BrokerReport("rabbit://h/", Clock())
    with caplog.at_level(logging.WARNING):
        for error in (OSError("gone"), OSError("gone"), None, None):
            report.begins()
            report(error)
            assert report.failing is (error is not None)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_a_poll_that_does_not_end_is_failing_until_it_ends() -> None:
    """oslo.messaging connects again within one poll, without an error."""
    clock = Clock()
    report = BrokerReport("rabbit://h/", clock)
    report.begins()
    clock.now += LONGEST_POLL
    assert not report.failing
    clock.now += 0.1
    assert report.failing
    other = threading.Thread(target=lambda: (report.begins(), report(None)))
    other.start()
    other.join()
    assert report.failing
    report(None)
    assert not report.failing
    clock.now += 3600
    assert not report.failing
