"""Options of the ingest API, group ``[eventalarm_ingest]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from eventalarm.conf.http import server_opts

INGEST_GROUP = "eventalarm_ingest"

INGEST_OPTS: list[Any] = [
    *server_opts("eventalarm-ingest-api", 8044),
    cfg.IntOpt(
        "max_body_size",
        default=1024 * 1024,
        min=1024,
        help="Maximum size of a request body, in bytes. A larger request is answered with 413.",
    ),
    cfg.IntOpt(
        "max_events",
        default=1000,
        min=1,
        help="Maximum number of events in one request. They are sent to the listeners in one message, "
        "unless that would exceed max_message_size.",
    ),
    cfg.IntOpt(
        "max_message_size",
        default=8 * 1024 * 1024,
        min=16 * 1024,
        help="Maximum size of a message to the broker, in bytes. The events of a larger request are split "
        "over several messages.",
    ),
    cfg.IntOpt(
        "retry_after",
        default=2,
        min=1,
        help="Value of the header Retry-After, in seconds, while the broker accepts no events.",
    ),
]
