"""Options of operational events, group ``[eventalarm]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg, types

SUBJECTS = ["destination", "delivery", "rule", "listener"]

OPERATIONAL_OPTS: list[Any] = [
    cfg.ListOpt(
        "operational_events",
        item_type=types.String(choices=SUBJECTS),
        default=SUBJECTS,
        help="What becomes an event of the project that it concerns, on which its alarms can fire: "
        "destination (eventalarm.destination.failing, .disabled and .recovered: the circuit of a destination "
        "of its actions changed), delivery (eventalarm.delivery.dead: deliveries were given up), rule "
        "(eventalarm.rule.invalid: an alarm cannot be evaluated), listener (eventalarm.listener.lost: a "
        "listener ended without being stopped; for infrastructure_projects). An empty list switches them "
        "off. Set it for the listeners and the ingest API alike.",
    ),
]
