"""Profiles as OpenTelemetry spans; its packages are imported only if spans are wanted."""

from __future__ import annotations

import importlib.metadata
from typing import Any, Final

from eventalarm.exceptions import InvalidOption
from eventalarm.model import Delivery
from eventalarm.profile.stages import Breakdown

OPTION: Final = "[eventalarm] profile_spans"
# The entry points by which packages of OpenTelemetry offer their exporters.
GROUP: Final = "opentelemetry_traces_exporter"
INSTALL: Final = "pip install 'eventalarm[otel]'"
SERVICE: Final = "eventalarm-listener"


class SpanSender:
    """Sends one trace for each profiled delivery: a span for the alarm, and one in it for each stage.

    :param exporter: an OpenTelemetry ``SpanExporter``; a thread of the SDK calls it.
    :raises InvalidOption: when the SDK is not installed.
    """

    def __init__(self, exporter: Any) -> None:
        try:
            from opentelemetry import trace  # noqa: PLC0415 - part of an extra
            from opentelemetry.sdk import resources  # noqa: PLC0415
            from opentelemetry.sdk import trace as sdk  # noqa: PLC0415
            from opentelemetry.sdk.trace import export  # noqa: PLC0415
        except ImportError as exc:
            raise InvalidOption(OPTION, f"needs {exc.name}", INSTALL) from exc
        self._in_span = trace.set_span_in_context
        self._provider = sdk.TracerProvider(resource=resources.Resource.create({"service.name": SERVICE}))
        self._provider.add_span_processor(export.BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("eventalarm")

    def send(self, delivery: Delivery, found: Breakdown) -> None:
        """Queue the spans of a delivery; one with negative time is marked as skewed."""
        ends = [one.begin + one.seconds for one in found.stages]
        known = {
            "eventalarm.alarm_id": delivery.alarm_id,
            "eventalarm.project_id": delivery.project_id,
            "eventalarm.delivery_id": delivery.delivery_id,
        }
        start = found.started_at
        alarm = self._tracer.start_span("alarm", start_time=_nanoseconds(start), attributes=known)
        inside = self._in_span(alarm)
        for one, end in zip(found.stages, ends, strict=True):
            marks: dict[str, Any] = {"eventalarm.checkpoint": one.checkpoint}
            if one.seconds < 0:
                marks["eventalarm.clock_skew_seconds"] = -one.seconds
            begin, until = sorted((one.begin, end))
            span = self._tracer.start_span(
                one.component, context=inside, start_time=_nanoseconds(start + begin), attributes=marks
            )
            span.end(end_time=_nanoseconds(start + until))
        alarm.end(end_time=_nanoseconds(start + max(0.0, *ends)))

    def close(self) -> None:
        """Send what is queued, and end the thread."""
        self._provider.shutdown()


def configured(name: str) -> SpanSender | None:
    """Return what sends spans with the exporter *name*; None without a name, and then nothing is imported.

    :raises InvalidOption: when there is no such exporter, or it cannot be made.
    """
    if not name:
        return None
    offered = {one.name: one for one in importlib.metadata.entry_points(group=GROUP)}
    if name not in offered:
        known = ", ".join(sorted(offered)) or "none"
        raise InvalidOption(OPTION, f"no exporter {name!r} is installed (there are: {known})", INSTALL)
    try:
        return SpanSender(offered[name].load()())
    except InvalidOption:
        raise
    except Exception as exc:
        raise InvalidOption(OPTION, f"the exporter {name!r} fails: {exc}", "see its OTEL_ variables") from exc


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000) * 1000
