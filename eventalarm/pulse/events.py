"""The event that reports that a target of a health check has failed, or works again. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

from eventalarm.model import FLOAT, INTEGER, STRING, JSONDict, format_time, make_body
from eventalarm.model.findings import Health
from eventalarm.pulse.hold_down import Change, Report

# Namespace of the ids of these events. Never change it: processes publish the same event again.
NAMESPACE: Final = uuid.UUID("8f0d9b4e-3a63-5a0e-8d2c-64d1f4c1a7b5")
SEVERITIES: Final[Mapping[Health, str]] = {Health.WARNING: "warning", Health.CRITICAL: "critical"}
STATUS: Final[Mapping[Change, str]] = {Change.FAILED: "failed", Change.RECOVERED: "ok"}


def resource_id(check: str, target: str) -> str:
    """Return the managed object of the events about *target*."""
    return f"{check}/{target}"


def body_of(check: str, report: Report) -> JSONDict:
    """Return the body; the same report has the same ``message_id``, however often it is published.

    An event without a project is for the infrastructure projects.
    """
    state = report.state
    about = f"{check}\n{state.finding.target}\n{state.finding.project_id}\n{state.reports}"
    name = f"{about}\n{format_time(state.since)}"
    message_id = str(uuid.uuid5(NAMESPACE, name))
    return make_body(message_id, report.change.value, format_time(state.checked_at), _traits(check, report))


def _traits(check: str, report: Report) -> Iterator[tuple[str, int, Any]]:
    finding = report.state.finding
    texts = {
        "project_id": finding.project_id,
        "tenant_id": finding.project_id,
        "resource_id": resource_id(check, finding.target),
        "check": check,
        "target": finding.target,
        "hostname": finding.host,
        "status": STATUS[report.change],
        "severity": SEVERITIES.get(finding.health, ""),
        "summary": finding.summary,
        "remedy": finding.remedy,
    }
    yield from ((name, STRING, value) for name, value in texts.items() if value)
    for name, figure in finding.figures.items():
        kind, value = (INTEGER, int(figure)) if float(figure).is_integer() else (FLOAT, float(figure))
        yield f"figure.{name}", kind, value
