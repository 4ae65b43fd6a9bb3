"""Options of eventalarm-pulse, group ``[eventalarm_pulse]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from eventalarm.conf.pulse_targets import TARGET_OPTS

PULSE_GROUP = "eventalarm_pulse"

ROUND_OPTS: list[Any] = [
    cfg.StrOpt(
        "cloud",
        default="",
        help="Name of the cloud in clouds.yaml that is checked. If empty, the credentials in "
        "[service_credentials] are used, as by Aodh.",
    ),
    cfg.ListOpt(
        "checks",
        default=["endpoint"],
        help="Names of the health checks that are run; `eventalarm-pulse list` shows those that are "
        "installed.",
    ),
    cfg.FloatOpt(
        "timeout",
        default=10.0,
        min=0.1,
        help="Seconds after which a request of a health check fails.",
    ),
]

PULSE_OPTS: list[Any] = [*ROUND_OPTS, *TARGET_OPTS]
