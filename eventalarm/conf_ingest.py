"""The options of the ingest API, group ``[eventalarm_ingest]``; ``eventalarm/conf.py`` hands them out."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from eventalarm.conf_api import server_opts

INGEST_GROUP = "eventalarm_ingest"

INGEST_OPTS: list[Any] = [
    *server_opts("eventalarm-ingest-api", 8044),
    cfg.IntOpt(
        "max_body_size",
        default=1024 * 1024,
        min=1024,
        help="Bytes that one request may have; more is answered with 413.",
    ),
    cfg.IntOpt(
        "max_events",
        default=1000,
        min=1,
        help="Events that one request may carry. They travel to the listeners in one message, as long as "
        "that is not too large for it.",
    ),
    cfg.IntOpt(
        "max_message_size",
        default=8 * 1024 * 1024,
        min=16 * 1024,
        help="Bytes that a message to the broker may have; the events of a larger request are split.",
    ),
    cfg.IntOpt(
        "retry_after",
        default=2,
        min=1,
        help="Seconds that a caller is asked to wait (Retry-After) while the broker takes no events.",
    ),
]
