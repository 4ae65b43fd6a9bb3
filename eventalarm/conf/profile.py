"""Options of profiles, group ``[eventalarm]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

PROFILE_OPTS: list[Any] = [
    cfg.FloatOpt(
        "profile_sampling",
        default=0.01,
        min=0,
        max=1,
        help="Share of the events that concern an alarm whose way to the consumer is profiled: the times of "
        "its stages are stored with its deliveries, for eventalarm-profile, and counted in the metric "
        "eventalarm_stage_seconds. An event with the trait 'profile' is always profiled.",
    ),
    cfg.FloatOpt(
        "profile_interval",
        default=1.0,
        min=0,
        help="After this many seconds the next event that concerns an alarm is profiled, whatever "
        "profile_sampling says, so that a cloud with few faults has profiles too. 0: none.",
    ),
    cfg.StrOpt(
        "profile_spans",
        default="",
        help="Exporter of OpenTelemetry by which profiles leave as spans, for example otlp_proto_http or "
        "console; empty: none. It is configured by its variables, such as OTEL_EXPORTER_OTLP_ENDPOINT, and "
        "installed with eventalarm[otel].",
    ),
]
