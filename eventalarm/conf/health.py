"""Options of health checks over HTTP, group ``[eventalarm]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

HEALTH_OPTS: list[Any] = [
    cfg.FloatOpt(
        "health_timeout",
        default=2.0,
        min=0.1,
        help="Seconds within which /healthcheck of the APIs, and /readyz of the listeners, answer that the "
        "database or the broker is unavailable. Must be less than the timeout of whatever asks.",
    ),
]
