"""Counts of the batch handler."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import cast

from eventalarm.backoff import Backoff
from eventalarm.evaluator.batch import BatchReport
from eventalarm.evaluator.engine import Engine
from eventalarm.evaluator.handler import BatchHandler
from eventalarm.evaluator.outage import DatabaseOutage
from eventalarm.metrics import Metrics
from eventalarm.model import Event
from tests.support.builders import event_body


class Reporting:
    """An engine that evaluates nothing, and returns the same report for every batch."""

    def __init__(self, report: BatchReport) -> None:
        self._report = report

    def process(self, events: Sequence[Event]) -> BatchReport:
        """Return the report."""
        self._report.events = len(events)
        return self._report


def counted(report: BatchReport, name: str, **labels: str) -> float | None:
    """Return a count of the metrics after a handler processed one event with this report."""
    metrics = Metrics()
    outage = DatabaseOutage(metrics, threading.Event(), Backoff(0.01, 0.01))
    handler = BatchHandler(cast(Engine, Reporting(report)), metrics, outage)
    assert handler.handle([{"payload": [event_body()]}]) == {}
    return metrics.registry.get_sample_value(f"eventalarm_{name}_total", labels)


def test_evaluated_events_are_counted() -> None:
    assert counted(BatchReport(), "events", outcome="evaluated", reason="") == 1


def test_decisions_are_counted_by_reason() -> None:
    report = BatchReport(reasons=Counter(late=3))
    assert counted(report, "decisions", reason="late") == 3


def test_unreadable_traits_are_counted() -> None:
    assert counted(BatchReport(bad_traits=2), "bad_traits") == 2
