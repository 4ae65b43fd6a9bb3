"""What a health check found."""

from __future__ import annotations

import pytest

from eventalarm.pulse.finding import Finding, Health, worst


@pytest.mark.parametrize(
    ("healths", "expected"),
    [
        ([], Health.OK),
        ([Health.OK, Health.UNKNOWN], Health.UNKNOWN),
        ([Health.UNKNOWN, Health.WARNING], Health.WARNING),
        ([Health.CRITICAL, Health.UNKNOWN, Health.OK], Health.CRITICAL),
    ],
)
def test_the_worst_counts_and_unknown_is_no_proof(healths: list[Health], expected: Health) -> None:
    assert worst(healths) is expected


def test_only_warnings_and_failures_raise_alarms() -> None:
    failed = [one for one in Health if Finding(target="nova", health=one, summary="").failed]
    assert failed == [Health.WARNING, Health.CRITICAL]
