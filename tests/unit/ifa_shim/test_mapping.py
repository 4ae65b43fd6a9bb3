"""The mapping of an occurrence to an alarm: every attribute, the severity, the details."""

from __future__ import annotations

from typing import Any

import pytest

from eventalarm.ifa_shim import (
    FaultyResourceType,
    Severity,
    from_occurrence,
)
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import ALARM
from tests.support.builders import at
from tests.unit.ifa_shim.parts import (
    SERVER,
    alarm,
    details,
    evaluated,
    occurrence,
    shown,
    threshold,
    transition,
)


def test_every_attribute_is_filled_from_a_nova_fault() -> None:
    raising = transition(instance_id=SERVER, state="error", host="compute-3", message_id="m-9")
    found = from_occurrence(occurrence(), [raising], alarm())
    assert (found.alarm_id, found.managed_object_id) == ("alarm-1", SERVER)
    assert (found.raised_time, found.event_time) == (at(0), at(-1))
    assert (found.fault_type, found.probable_cause) == (
        "compute.instance.update",
        "underlyingResourceUnavailable",
    )
    assert found.faulty_resource is not None
    assert (found.faulty_resource.kind, found.faulty_resource.type) == (
        FaultyResourceType.COMPUTE,
        "OS::Nova::Server",
    )
    assert details(found) | {
        "aodh.alarm_id": "alarm-1",
        "event.message_id": "m-9",
        "trait.host": "compute-3",
        "trait.state": "error",
    } == details(found)


def test_the_severity_that_the_event_says_wins_over_that_of_the_row() -> None:
    found = from_occurrence(occurrence(), [transition(instance_id=SERVER, severity="minor")], alarm())
    assert found.perceived_severity is Severity.MINOR
    fixed = Settings(severity_overrides={"compute.*": Severity.MAJOR})
    found = from_occurrence(occurrence(), [transition(instance_id=SERVER, severity="minor")], alarm(), fixed)
    assert found.perceived_severity is Severity.MAJOR


@pytest.mark.parametrize(
    ("aodh", "severity"),
    [
        ("critical", Severity.CRITICAL),
        ("moderate", Severity.MAJOR),
        ("low", Severity.WARNING),
        (None, Severity.MINOR),
        ("weird", Severity.MINOR),
    ],
)
def test_severities(aodh: str | None, severity: Severity) -> None:
    assert shown(threshold(severity=aodh), evaluated(ALARM, 1)).perceived_severity is severity


def test_details_are_bounded() -> None:
    many: dict[str, Any] = {f"t{number}": "v" * 1000 for number in range(500)}
    found = from_occurrence(occurrence(), [transition(instance_id=SERVER, **many)], alarm())
    assert len(found.fault_details) <= 64
    assert max(map(len, found.fault_details)) < 600
