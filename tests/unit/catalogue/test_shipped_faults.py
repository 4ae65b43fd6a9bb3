"""What the shipped catalogue must contain: each event type, each scenario, each fault of Doctor's annex."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from eventalarm.catalogue import event_definitions
from eventalarm.catalogue.event_definitions import Definition
from eventalarm.catalogue.fault_files import load
from eventalarm.owner import event_types
from eventalarm.patterns import matches_glob
from eventalarm.x733 import EVENT_TYPES
from tests.support.cloud import ROOT
from tests.support.scenarios import PAGES, blocks

CATALOGUE = load()
DEFINITIONS = [
    (kind, definition)
    for path in event_definitions.fragments([])
    for definition in event_definitions.read(path)
    for kind in event_types(definition)
]
SCENARIOS = sorted(PAGES.glob("*.rst"))
# The rows of "Annex: NFVI Faults" in the requirements of OPNFV Doctor: fault, severity.
ANNEX = {
    "Processor/CPU failure": {"CRITICAL"},
    "Memory failure": {"CRITICAL"},
    "Network card failure": {"CRITICAL"},
    "Disk crash": {"WARNING"},
    "Storage controller": {"CRITICAL"},
    "PDU/power failure": {"CRITICAL"},
    "Power degradation": {"WARNING"},
    "Chassis problem": {"WARNING"},
    "Mainboard failure": {"CRITICAL"},
    "OS crash": {"CRITICAL"},
    "System has restarted": {"CRITICAL"},
    "Hypervisor failure": {"WARNING", "CRITICAL"},
    "Hypervisor status not retrievable": {"WARNING"},
    "SDN/OpenFlow switch, controller": {"CRITICAL"},
    "Hardware failure of physical switch/router": {"WARNING"},
}


SENT = yaml.safe_load((ROOT / "tests/data/sent-event-types.yaml").read_text())


def sample(pattern: str) -> str:
    """Return an event type that the pattern fits."""
    return pattern.replace("*", "x")


@pytest.mark.parametrize(("kind", "definition"), DEFINITIONS, ids=[kind for kind, _ in DEFINITIONS])
def test_every_event_type_has_an_entry_whose_resource_its_definition_has(
    kind: str, definition: Definition
) -> None:
    fault = CATALOGUE.find(sample(kind))
    assert fault is not None
    assert set(fault.resource_traits) & set(definition["traits"]), fault.name


@pytest.mark.parametrize(("kind", "definition"), DEFINITIONS, ids=[kind for kind, _ in DEFINITIONS])
def test_every_trait_that_an_entry_demands_is_one_of_the_definition(
    kind: str, definition: Definition
) -> None:
    demanded = {
        trait
        for fault in CATALOGUE.faults
        for condition in (*fault.reported_by, *fault.cleared_by)
        if matches_glob(sample(kind), condition.event_type)
        for trait, _ in condition.traits
    }
    assert demanded <= set(definition["traits"])


@pytest.mark.parametrize("page", SCENARIOS, ids=lambda page: page.stem)
def test_every_scenario_has_an_entry(page: Any) -> None:
    found = blocks(page)
    rule = json.loads(found["rule.json"])["event_type"]
    patterns = [rule] if isinstance(rule, str) else rule
    reports = [json.loads(text) for name, text in found.items() if name.startswith("fault")]
    types = [report["event"]["type"] if "event" in report else report["event_type"] for report in reports]
    assert types
    assert [one for one in (*map(sample, patterns), *types) if CATALOGUE.find(one) is None] == []


@pytest.mark.parametrize("service", SENT)
def test_every_event_type_that_a_service_sends_has_an_entry(service: str) -> None:
    assert [one for one in SENT[service].split() if CATALOGUE.find(one, {}) is None] == []


def test_every_fault_of_doctors_annex_has_an_entry_of_its_severity() -> None:
    found: dict[str, set[str]] = {}
    for fault in CATALOGUE.faults:
        source, _, row = fault.reference.partition(": ")
        if source == "OPNFV Doctor, NFVI faults":
            found.setdefault(row, set()).add(fault.severity)
    assert found == ANNEX


def test_every_probable_cause_is_one_of_x733_and_has_its_event_type() -> None:
    wrong = {
        fault.name: (fault.event_type, fault.probable_cause)
        for fault in CATALOGUE.faults
        if EVENT_TYPES.get(fault.probable_cause) != fault.event_type
    }
    assert wrong == {}


def test_names_are_unique() -> None:
    names = [fault.name for fault in CATALOGUE.faults]
    assert len(names) == len(set(names)) > 60


@pytest.mark.parametrize(
    ("event_type", "traits", "name"),
    [
        ("notification.create.end", {"type": "COMPUTE_HOST", "failure": "STOPPED"}, "host-down"),
        ("notification.create.end", {"type": "VM", "vir_domain_event": "STOPPED_FAILED"}, "guest-crashed"),
        ("notification.process.start", {"type": "PROCESS"}, "compute-process"),
        ("notification.process.error", {"type": "COMPUTE_HOST", "failure": "STARTED"}, "masakari"),
        ("octavia.loadbalancer.update.end", {"operating_status": "ERROR"}, "load-balancer-error"),
        ("octavia.loadbalancer.create.end", {"provisioning_status": "ERROR"}, "load-balancer-error"),
        ("octavia.loadbalancer.update.end", {"operating_status": "DEGRADED"}, "load-balancer-degraded"),
        ("octavia.loadbalancer.update.end", {"operating_status": "DRAINING"}, "load-balancer-offline"),
        ("octavia.loadbalancer.update.end", {"operating_status": "OFFLINE"}, "load-balancer-offline"),
        ("octavia.loadbalancer.update.end", {"operating_status": "NO_MONITOR"}, "load-balancer"),
        ("octavia.loadbalancer.update.end", {"operating_status": "ONLINE"}, "load-balancer"),
        ("baremetal.node.power_set.error", {}, "baremetal-power"),
        ("baremetal.node.maintenance_set.end", {"fault": "power failure"}, "baremetal-power"),
        ("baremetal.node.provision_set.error", {"provision_state": "deploy failed"}, "baremetal-operation"),
        ("baremetal.node.maintenance_set.end", {"fault": "clean failure"}, "baremetal-operation"),
        ("port.update.end", {"data_plane_status": "DOWN"}, "port-data-plane"),
        ("port.update.end", {"status": "DOWN"}, "port"),
        ("compute.instance.live_migration._rollback.end", {}, "server-migration"),
        ("compute_task.build_instances", {}, "server-scheduling"),
        ("compute.host.hypervisor", {"status": "unreachable"}, "hypervisor-unreachable"),
        ("libvirt.connect.error", {}, "hypervisor-unreachable"),
        ("volume.quota.exceeded", {}, "storage-full"),
        ("hardware.idrac.metrics", {}, "hardware"),
    ],
)
def test_traits_tell_faults_of_one_event_type_apart(event_type: str, traits: Any, name: str) -> None:
    fault = CATALOGUE.find(event_type, traits)
    assert fault is not None
    assert fault.name == name
