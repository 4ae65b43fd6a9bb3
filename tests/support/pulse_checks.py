"""Runs a health check as its runner does, one look after the other, with options of a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oslo_config import cfg

from eventalarm import conf
from eventalarm.pulse.checks import Check, CheckContext
from eventalarm.pulse.finding import Finding


def _no_cloud() -> Any:
    raise AssertionError("this check uses no cloud")


def look(
    check: type[Check],
    *,
    connect: Callable[[], Any] = _no_cloud,
    timeout: float = 10.0,
    project_id: str = "",
    **options: Any,
) -> dict[str, Finding]:
    """Return what *check* finds, by target; *options* are those of ``[eventalarm_pulse]``."""
    config = cfg.ConfigOpts()
    conf.register_opts(config)
    config([], default_config_files=[])
    for name, value in options.items():
        config.set_override(name, value, conf.PULSE_GROUP)
    context = CheckContext(config[conf.PULSE_GROUP], connect, timeout, project_id)
    found = [finding for probe in check(context).probes() for finding in probe.look()]
    assert len({finding.target for finding in found}) == len(found)
    return {finding.target: finding for finding in found}
