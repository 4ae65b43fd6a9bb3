"""Options of the circuits of destinations, group ``[eventalarm_delivery]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

CIRCUIT_OPTS: list[Any] = [
    cfg.IntOpt(
        "circuit_failures",
        default=20,
        min=0,
        help="Number of failed attempts in a row that open the circuit of a destination (scheme, host and "
        "port) for a project. While it is open, deliveries to it are deferred, and one at a time is sent as "
        "a probe; the first answer that does not ask for a retry closes it. 0 opens no circuits: each "
        "delivery is retried by itself.",
    ),
    cfg.FloatOpt(
        "circuit_probe_initial",
        default=1.0,
        min=0.01,
        help="Seconds between the opening of a circuit and its first probe. The delay doubles with each "
        "further probe, with jitter, up to circuit_probe_max. The header Retry-After lengthens it.",
    ),
    cfg.FloatOpt(
        "circuit_probe_max", default=120.0, min=0.01, help="Maximum delay between two probes, in seconds."
    ),
    cfg.FloatOpt(
        "circuit_disable_after",
        default=432000.0,
        min=1.0,
        help="Seconds of failure, without a single success, after which a destination is disabled for a "
        "project: five days by default. Deliveries to it are then given up at once, until the project "
        "enables it (openstack eventalarm destination enable).",
    ),
    cfg.BoolOpt(
        "circuit_disable_gone",
        default=True,
        help="Whether an answer 410 (Gone) disables the URL that was called for the project at once, as "
        "circuit_disable_after does a destination. If false, 410 only ends the delivery.",
    ),
]
