"""Profiles as spans of the real OpenTelemetry SDK, which is not imported unless they are wanted."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace.export import ConsoleSpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from eventalarm.delivery import spans
from eventalarm.delivery.profiling import ProfileObserver
from eventalarm.delivery.spans import SpanSender
from eventalarm.exceptions import InvalidOption
from eventalarm.metrics import Metrics
from eventalarm.model import Checkpoint
from tests.support.deliveries import make_delivery
from tests.support.profiles import ZERO, profile

SECOND = 1_000_000_000


def test_each_stage_is_a_span_of_the_alarm_with_its_own_times() -> None:
    """Red when spans have the time at which they are sent."""
    exporter = InMemorySpanExporter()
    sender = SpanSender(exporter)
    one = profile(0, 1, 2, 1.5, 3, 4, 5, reporter=[Checkpoint("link down", ZERO - 1)])
    ProfileObserver(Metrics(), sender).answered(make_delivery(project_id="p"), one)
    sender.close()

    *stages, alarm = exporter.get_finished_spans()
    assert [span.name for span in stages] == [
        *("Nova", "Ceilometer", "broker", "match", "commit", "send", "answer"),
    ]
    assert alarm.attributes is not None
    assert alarm.attributes["eventalarm.project_id"] == "p"
    zero = round(ZERO) * SECOND
    assert (alarm.start_time, alarm.end_time) == (zero - SECOND, zero + 5 * SECOND)
    assert {span.parent.span_id for span in stages if span.parent} == {alarm.context.span_id}
    assert (stages[2].start_time, stages[2].end_time) == (zero + SECOND, zero + 2 * SECOND)
    skewed = stages[3]
    assert skewed.attributes is not None
    assert skewed.attributes["eventalarm.clock_skew_seconds"] == pytest.approx(0.5)
    assert (skewed.start_time, skewed.end_time) == (zero + 3 * SECOND // 2, zero + 2 * SECOND)


def test_the_exporter_is_named_by_the_option() -> None:
    assert spans.configured("") is None
    sender = spans.configured("console")
    assert sender is not None
    sender.close()
    with pytest.raises(InvalidOption, match=r"profile_spans.*no exporter 'nothing'.*eventalarm\[otel\]"):
        spans.configured("nothing")


def test_a_failure_of_the_sdk_is_no_failure_of_the_delivery(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sender = SpanSender(ConsoleSpanExporter())
    sender.close()
    monkeypatch.setattr(sender, "_tracer", None)

    with caplog.at_level("DEBUG", "eventalarm.delivery"):
        ProfileObserver(Metrics(), sender).answered(make_delivery(), profile(0, 1, 2))
    assert caplog.records, "the failure is logged"


def test_nothing_is_imported_without_the_option() -> None:
    """Red when a module of the listener imports the SDK."""
    code = (
        "import sys; from eventalarm.app import process; from eventalarm.delivery import spans;"
        "assert spans.configured('') is None;"
        "sys.exit(any(name.partition('.')[0] == 'opentelemetry' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
