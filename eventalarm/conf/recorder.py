"""Options of recorded events, group ``[eventalarm]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

RECORDER_OPTS: list[Any] = [
    cfg.StrOpt(
        "record_events",
        default="off",
        choices=[
            ("off", "none is recorded"),
            ("matched", "events that concern an alarm, in the transaction that evaluates them"),
            ("project", "those, and all other events that a project owns, by a thread beside"),
            ("all", "those, and events without an owner, for the infrastructure_projects"),
        ],
        help="Which events are recorded, with what they led to, so that projects can ask the ingest API why "
        "an alarm did not fire and test rules against past events. A recorded event has all its traits, "
        "which may be personal data. It takes its own size in the database, plus 1 KiB; "
        "recorded_events_time_to_live and recorded_events_size bound them.",
    ),
    cfg.IntOpt(
        "recorded_events_backlog",
        default=10_000,
        min=1,
        help="Maximum number of events of a listener that wait to be recorded with record_events = project "
        "or all. More are not recorded, and counted in the metric eventalarm_recorded_events.",
    ),
    cfg.IntOpt(
        "recorded_events_time_to_live",
        default=7 * 86400,
        min=60,
        help="Seconds for which eventalarm-expirer keeps recorded events.",
    ),
    cfg.IntOpt(
        "recorded_events_size",
        default=64 * 1024 * 1024,
        min=0,
        help="Maximum size of the recorded events of one project, in bytes. Of a project with more, "
        "eventalarm-expirer removes the oldest, also before their time to live has passed.",
    ),
]
