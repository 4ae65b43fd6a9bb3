"""The table of service availability: what belongs to a disruption, and from when a recovery counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from eventalarm.trial.history.availability import (
    DETECTIONS,
    HEADINGS,
    Availability,
    availability,
    cells,
    level,
    recovery,
)
from eventalarm.trial.history.check import check
from eventalarm.trial.history.records import History, Record, Strike
from tests.support.histories import GOOD, NOON, no_trace, receipt


def _strike(began: float, ended: float, **fields: Any) -> Strike:
    return Strike(NOON + began, NOON + ended, "kill", ends_process=False, **fields)


def _rows(records: Sequence[Record]) -> dict[str, Availability]:
    history = History(list(records))
    return {row.disruption: row for row in availability(history, check(history))}


def test_undisturbed_events_are_more_than_a_second_away_from_every_disruption() -> None:
    calm = _rows(GOOD)["undisturbed"]
    assert sorted(calm.detection) == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.2, 0.2], abs=1e-6)
    assert (calm.times, calm.events, calm.recovery, calm.level) == (0, 9, (), "SAL 1")
    rows = _rows([*GOOD, _strike(5.5, 6)])
    assert sorted(rows["undisturbed"].detection) == pytest.approx([0.1, 0.1, 0.2, 0.2], abs=1e-6)
    assert (rows["kill"].times, rows["kill"].events) == (1, 2)
    assert rows["kill"].detection == pytest.approx((0.1, 0.1), abs=1e-6)


def test_what_a_consumer_did_concerns_its_events_only() -> None:
    rows = _rows([*GOOD, _strike(5.5, 6, target="another")])
    assert rows["kill"].events == 0
    assert rows["kill"].recovery == ()
    assert rows["undisturbed"].events == 9
    rows = _rows([*GOOD, _strike(5.5, 6, target="steady")])
    assert rows["kill"].events == 2
    assert rows["kill"].recovery == pytest.approx((0.1,), abs=1e-6)
    # All consumers but the one that misbehaves are undisturbed; nobody received three of the events.
    assert rows["undisturbed"].events == 3


def test_what_was_lost_or_doubled_is_counted_where_it_was_published() -> None:
    lost = _rows([*no_trace("m1")(list(GOOD)), _strike(0.5, 1.2), _strike(20, 21, alone=False)])
    assert (lost["kill"].lost, lost["kill"].doubled, lost["undisturbed"].lost) == (1, 0, 0)
    doubled = _rows([*GOOD, receipt("often", "m3", 9), _strike(30, 31)])
    assert (doubled["undisturbed"].doubled, doubled["kill"].doubled) == (1, 0)


@pytest.mark.parametrize(
    ("strike", "webhooks", "seconds"),
    [
        (Strike(1, 4), [0.5, 2, 3, 9], 5),
        (Strike(1, 4), [0.5, 4], 0),
        (Strike(1, 4), [2], None),
        (Strike(1, 4, taken_over=6), [2, 5], 6),
        (Strike(1, 4, survivable=True), [0.5, 2, 3, 4.5, 9], 1.5),
        (Strike(1, 4, survivable=True), [0.5, 3.5, 4.5], 2.5),
        (Strike(1, 4, survivable=True), [], 3),
        (Strike(4, 4, survivable=True), [3, 4.75], 0.75),
    ],
)
def test_a_recovery_counts_from_the_end_unless_others_must_go_on(
    strike: Strike, webhooks: Sequence[float], seconds: float | None
) -> None:
    assert recovery(strike, webhooks) == seconds


def test_a_row_shows_medians_and_the_worst() -> None:
    row = Availability("kill", 2, 1000, 0, 0, (0.1, 0.2, 0.6), (1.0, 7.0))
    assert cells(row) == ("kill", "2", "1,000", "0", "0", "0.200 / 0.600", "4.00 / 7.00", "SAL 2")
    assert len(cells(row)) == len(HEADINGS)
    assert cells(Availability("kill", 1, 0, 0, 0, (), ()))[-3:] == ("–", "–", "–")


@pytest.mark.parametrize(("seconds", "number"), [(0.1, 1), (6.0, 1), (6.1, 2), (15.0, 2), (25.0, 3)])
def test_recoveries_are_compared_with_the_levels_of_etsi(seconds: float, number: int) -> None:
    assert level(seconds) == f"SAL {number}"
    assert level(25.1) == "none"
    assert level(1.1, DETECTIONS) == "SAL 2"
