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
        help="Name of the cloud in clouds.yaml that is checked. If empty, the cloud that variables such as "
        "OS_CLOUD and OS_AUTH_URL name is used, else the credentials in [service_credentials], as by Aodh.",
    ),
    cfg.ListOpt(
        "checks",
        default=["endpoint"],
        help="Names of the health checks that are run; `eventalarm-pulse list` shows those that are "
        "installed.",
    ),
    cfg.FloatOpt(
        "interval",
        default=60.0,
        min=0.1,
        help="Seconds between two rounds of a check. A fault is reported within this time and the time of "
        "one request.",
    ),
    cfg.DictOpt(
        "intervals",
        default={},
        help="Intervals in seconds of single checks, in the form NAME:SECONDS,NAME:SECONDS; the others use "
        "interval.",
    ),
    cfg.FloatOpt(
        "timeout",
        default=10.0,
        min=0.1,
        help="Seconds after which a request of a health check fails.",
    ),
    cfg.IntOpt(
        "workers",
        default=16,
        min=1,
        max=256,
        help="Maximum number of requests of health checks at the same time.",
    ),
    cfg.IntOpt(
        "failures",
        default=1,
        min=1,
        help="Number of failed rounds in succession after which a fault is reported. A higher number delays "
        "the alarm by an interval each, and hides short failures.",
    ),
    cfg.IntOpt(
        "successes",
        default=1,
        min=1,
        help="Number of good rounds in succession after which the end of a fault is reported.",
    ),
    cfg.PortOpt(
        "metrics_port",
        min=1,
        help="Port of the Prometheus endpoint of eventalarm-pulse. If unset, there is no endpoint.",
    ),
    cfg.HostAddressOpt(
        "metrics_host",
        default="127.0.0.1",
        help="Address on which the Prometheus endpoint listens; it has no authentication.",
    ),
]

PULSE_OPTS: list[Any] = [*ROUND_OPTS, *TARGET_OPTS]
