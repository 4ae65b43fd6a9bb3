"""Options of the Prometheus endpoint, group ``[eventalarm]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

METRICS_OPTS: list[Any] = [
    cfg.PortOpt(
        "metrics_port",
        min=1,
        help="Port of the Prometheus endpoint of one eventalarm-listener, which aggregates the metrics of "
        "all its processes. If unset, there is no endpoint. Two listeners on one host need two ports.",
    ),
    cfg.HostAddressOpt(
        "metrics_host",
        default="127.0.0.1",
        help="Address on which the Prometheus endpoint listens. The metrics contain no tenant data, but the "
        "endpoint has no authentication: use an address of a trusted network.",
    ),
    cfg.FloatOpt(
        "metrics_outbox_interval",
        default=10.0,
        min=0.1,
        help="Seconds between two readings of the outbox for the Prometheus endpoint. Each listener with "
        "an endpoint reads the unfinished and the failed deliveries by an index.",
    ),
]
