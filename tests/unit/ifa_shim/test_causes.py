"""Event types and probable causes, as X.733 has them, whoever names the cause."""

from __future__ import annotations

import pytest

from eventalarm.ifa_shim.mapping import from_occurrence
from eventalarm.ifa_shim.tables import CAUSES, NO_CAUSE, Settings, read_cause
from eventalarm.x733 import EVENT_TYPES
from tests.unit.ifa_shim.parts import SERVER, alarm, occurrence, transition


@pytest.mark.parametrize(
    ("fault_type", "event_type", "cause"),
    [
        ("compute.host.down", "EQUIPMENT_ALARM", "equipmentMalfunction"),
        ("compute.host.thermal", "ENVIRONMENTAL_ALARM", "temperatureUnacceptable"),
        ("compute.host.power", "EQUIPMENT_ALARM", "powerProblem"),
        ("compute.host.nic", "EQUIPMENT_ALARM", "adapterError"),
        ("compute.host.disk", "EQUIPMENT_ALARM", "inputOutputDeviceError"),
        ("compute.host.memory", "EQUIPMENT_ALARM", "equipmentMalfunction"),
        ("compute.host.processor", "EQUIPMENT_ALARM", "processorProblem"),
        ("compute.host.os", "PROCESSING_ERROR_ALARM", "softwareProgramAbnormallyTerminated"),
        ("compute.host.hypervisor", "PROCESSING_ERROR_ALARM", "underlyingResourceUnavailable"),
        ("compute.libvirt.error", "PROCESSING_ERROR_ALARM", "underlyingResourceUnavailable"),
        ("network.switch.port", "COMMUNICATIONS_ALARM", "lossOfSignal"),
        ("network.switch.down", "EQUIPMENT_ALARM", "equipmentMalfunction"),
        ("network.create.end", "COMMUNICATIONS_ALARM", "communicationsSubsystemFailure"),
        ("hardware.ipmi.temperature", "ENVIRONMENTAL_ALARM", "temperatureUnacceptable"),
        ("hardware.ipmi.fan", "ENVIRONMENTAL_ALARM", "heatingVentCoolingSystemProblem"),
        ("maintenance.host", "PROCESSING_ERROR_ALARM", "underlyingResourceUnavailable"),
    ],
)
def test_host_and_switch_faults(fault_type: str, event_type: str, cause: str) -> None:
    found = Settings().naming(fault_type).cause
    assert (found.event_type.value, found.probable_cause) == (event_type, cause)


def test_every_built_in_cause_has_the_event_type_of_x733() -> None:
    for cause in (*map(read_cause, CAUSES), NO_CAUSE):
        assert EVENT_TYPES[cause.probable_cause] is cause.event_type, cause


@pytest.mark.parametrize(
    ("named", "event_type"),
    [("fireDetected", "ENVIRONMENTAL_ALARM"), ("lossOfSignal", "COMMUNICATIONS_ALARM")],
)
def test_the_event_type_follows_the_cause_that_the_event_names(named: str, event_type: str) -> None:
    shown = from_occurrence(occurrence(), [transition(instance_id=SERVER, probable_cause=named)], alarm())
    assert (shown.probable_cause, shown.event_type.value) == (named, event_type)


def test_a_cause_that_x733_does_not_know_changes_no_event_type() -> None:
    shown = from_occurrence(
        occurrence(), [transition(instance_id=SERVER, probable_cause="gremlins")], alarm()
    )
    assert (shown.probable_cause, shown.event_type.value) == ("gremlins", "PROCESSING_ERROR_ALARM")


@pytest.mark.parametrize("word", ["Info", "info", " INFO ", "informational", "warn"])
def test_doctors_info_is_a_warning(word: str) -> None:
    assert Settings().severity(word).value == "WARNING"
    notified = transition(instance_id=SERVER, severity=word)
    shown = from_occurrence(occurrence(), [notified], alarm(severity="critical"))
    assert shown.perceived_severity.value == "WARNING"
