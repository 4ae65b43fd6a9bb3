"""Every option of eventalarm, one module for each concern; no other module declares an option."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from eventalarm.conf.database import DATABASE_OPTS
from eventalarm.conf.delivery import DELIVERY_GROUP, DELIVERY_OPTS
from eventalarm.conf.guest import GUEST_GROUP, GUEST_OPTS
from eventalarm.conf.health import HEALTH_OPTS
from eventalarm.conf.http import INGEST_GROUP, INGEST_OPTS
from eventalarm.conf.ifa import IFA_GROUP, IFA_OPTS
from eventalarm.conf.inspector import INSPECTOR_GROUP, INSPECTOR_OPTS
from eventalarm.conf.listener import GROUP, LISTENER_OPTS, METRICS_OPTS
from eventalarm.conf.operational import OPERATIONAL_OPTS
from eventalarm.conf.profile import PROFILE_OPTS
from eventalarm.conf.pulse import PULSE_GROUP, PULSE_OPTS
from eventalarm.conf.recorder import RECORDER_OPTS
from eventalarm.conf.rules import RULE_OPTS

__all__ = [
    "DELIVERY_GROUP",
    "GROUP",
    "GUEST_GROUP",
    "IFA_GROUP",
    "IFA_OPTS",
    "INGEST_GROUP",
    "INSPECTOR_GROUP",
    "LISTENER_OPTS",
    "PULSE_GROUP",
    "list_opts",
    "register_opts",
]


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the options by group, for oslo-config-generator."""
    return [
        (
            GROUP,
            LISTENER_OPTS
            + DATABASE_OPTS
            + METRICS_OPTS
            + HEALTH_OPTS
            + RULE_OPTS
            + RECORDER_OPTS
            + OPERATIONAL_OPTS
            + PROFILE_OPTS,
        ),
        (DELIVERY_GROUP, DELIVERY_OPTS),
        (IFA_GROUP, IFA_OPTS),
        (INGEST_GROUP, INGEST_OPTS),
        (INSPECTOR_GROUP, INSPECTOR_OPTS),
        (PULSE_GROUP, PULSE_OPTS),
        (GUEST_GROUP, GUEST_OPTS),
    ]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register every option on *conf*; may be called more than once."""
    for group, opts in list_opts():
        conf.register_opts(opts, group=group)
