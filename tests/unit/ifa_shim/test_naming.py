"""How alarms are named: by the operator's tables, the fault catalogue, and for an absence by the rule."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from oslo_config import cfg

from eventalarm.catalogue.fault_files import load_shipped
from eventalarm.conf import register_opts
from eventalarm.exceptions import InvalidOption
from eventalarm.ifa_shim import options
from eventalarm.ifa_shim.fault_lines import by_cause, by_fault_type, by_kind
from eventalarm.ifa_shim.mapping import from_occurrence
from eventalarm.ifa_shim.tables import Settings, read_cause, read_family
from eventalarm.patterns import matches_glob
from eventalarm.storage.occurrence_filters import FaultTypes
from eventalarm.x733 import EventType, FaultyResourceType
from tests.unit.ifa_shim.parts import alarm, details, evaluated, occurrence, shown, transition

FORCED = {"binary": "nova-compute", "forced_down": "True", "host": "compute0"}


def named(settings: Settings | None = None, **event: Any) -> Any:
    """Return the alarm that such an event raised."""
    return from_occurrence(occurrence("compute0"), [transition(**event)], alarm(), settings)


@pytest.mark.parametrize(
    ("event", "fault_type", "event_type", "cause", "kind"),
    [
        (
            {"event_type": "service.update", **FORCED},
            *("compute.host.down", "EQUIPMENT_ALARM", "equipmentMalfunction", "COMPUTE"),
        ),
        (
            {"event_type": "service.update", "binary": "nova-scheduler"},
            *("service.update", "PROCESSING_ERROR_ALARM", "underlyingResourceUnavailable", "COMPUTE"),
        ),
        (
            {"event_type": "health.guest", "state": "failed"},
            *("health.guest", "PROCESSING_ERROR_ALARM", "softwareProgramError", "COMPUTE"),
        ),
        (
            {"event_type": "guest.heartbeat.missed"},
            *("guest.heartbeat.missed", "COMMUNICATIONS_ALARM", "lossOfSignal", "COMPUTE"),
        ),
        (
            {"event_type": "maintenance.scheduled"},
            *("maintenance.scheduled", "PROCESSING_ERROR_ALARM", "underlyingResourceUnavailable", "COMPUTE"),
        ),
        (
            {"event_type": "backup.create.end", "status": "error"},
            *("backup.create.end", "PROCESSING_ERROR_ALARM", "underlyingResourceUnavailable", "STORAGE"),
        ),
        (
            {"event_type": "octavia.loadbalancer.update.end", "operating_status": "DEGRADED"},
            *("octavia.loadbalancer.degraded", "QOS_ALARM", "performanceDegraded", "NETWORK"),
        ),
    ],
)
def test_an_alarm_is_named_by_the_catalogue(
    event: dict[str, Any], fault_type: str, event_type: str, cause: str, kind: str
) -> None:
    found = named(**event)
    assert (found.fault_type, found.event_type, found.probable_cause) == (fault_type, event_type, cause)
    assert found.faulty_resource is not None
    assert found.faulty_resource.kind == kind
    assert details(found)["proposedAction"]


def test_an_alarm_that_the_catalogue_does_not_know_proposes_nothing() -> None:
    found = named(event_type="crate.fallen")
    assert (found.fault_type, found.probable_cause) == ("crate.fallen", "applicationSubsystemFailure")
    assert found.faulty_resource is None
    assert "proposedAction" not in details(found)


@pytest.mark.parametrize("pattern", ["service.*", "compute.host.down"])
def test_the_tables_of_the_operator_take_precedence(pattern: str) -> None:
    """Their patterns may be of the type of the event, or of the fault type that consumers see."""
    settings = Settings(
        families=(read_family(f"{pattern} NETWORK - -"),),
        causes=(read_cause(f"{pattern} ENVIRONMENTAL_ALARM fireDetected"),),
    )
    found = named(settings, event_type="service.update", **FORCED)
    assert (found.fault_type, found.probable_cause) == ("compute.host.down", "fireDetected")
    assert found.faulty_resource.kind == "NETWORK"


def test_an_absence_keeps_the_fault_type_of_its_rule() -> None:
    """Red when the event that the timer made up names the alarm."""
    absent = {"event_type": "guest.heartbeat.*", "absence": {"after": 60}}
    raised = transition(event_type="eventalarm.timer.absence", resource_id="vm-1", seconds=60)
    found = from_occurrence(occurrence("vm-1"), [raised], alarm(the_rule=absent, type="notification"))
    assert (found.fault_type, found.probable_cause) == ("guest.heartbeat.*", "lossOfSignal")
    assert found.faulty_resource is not None
    assert found.faulty_resource.kind == "COMPUTE"


def test_an_absence_read_from_history_keeps_it_too() -> None:
    """The reason of a timer's transition is not taken for that of an event."""
    row = alarm(the_rule={"event_type": ["health.*", "guest.*"]}, type="notification")
    reason = (
        "Event <id=timer:absence:t:1,event_type=eventalarm.timer.absence> "
        "tells that nothing expected came for 60 seconds <query=[]>."
    )
    found = shown(row, evaluated("alarm", 0, reason))
    assert (found.fault_type, found.probable_cause) == ("health.*,guest.*", "softwareProgramError")


def configured(**values: Any) -> Settings:
    conf = cfg.ConfigOpts()
    register_opts(conf)
    conf([])
    for name, value in values.items():
        conf.set_override(name, value, group="eventalarm" if name == "fault_catalogue" else "eventalarm_ifa")
    return options.settings(conf)


def test_an_alarm_without_severity_may_have_the_one_of_the_catalogue() -> None:
    row = alarm(the_rule={"event_type": "*"}, severity=None)
    event = transition(event_type="compute.host.disk")
    for word, severity in (("catalogue", "WARNING"), ("MINOR", "MINOR")):
        found = from_occurrence(occurrence("compute0"), [event], row, configured(undefined_severity=word))
        assert found.perceived_severity == severity
    unknown = transition(event_type="crate.fallen")
    found = from_occurrence(occurrence(), [unknown], row, configured(undefined_severity="catalogue"))
    assert found.perceived_severity == "MINOR"


def test_the_file_of_the_deployer_names_alarms(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(
        "- {name: crate, description: A crate fell, reported_by: 'crate.*', event_type: QOS_ALARM,\n"
        "   probable_cause: congestion, resource: {kind: STORAGE, traits: crate}, severity: minor,\n"
        "   service_affecting: false, repair_action: lift it, detected_by: the noise}\n"
    )
    found = named(configured(fault_catalogue=[str(path)]), event_type="crate.fallen")
    assert (found.event_type, found.probable_cause) == ("QOS_ALARM", "congestion")
    assert details(found)["proposedAction"] == "lift it"


def test_a_bad_file_of_the_deployer_is_refused_at_start(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("- {name: crate}\n")
    with pytest.raises(InvalidOption, match=r"fault_catalogue: .*faults\.yaml: crate: .* is not a mapping"):
        configured(fault_catalogue=[str(path)])


# -- what the database is asked for ---------------------------------------------------------------------

OPERATORS = Settings(
    families=(read_family("compute.host.down STORAGE - -"), read_family("volume.* - - -")),
    causes=(read_cause("octavia.loadbalancer.error QOS_ALARM congestion"),),
)
EXAMPLES = [
    (row.condition.event_type.replace("*", "x"), {name: one[0].replace("*", "x") for name, one in traits})
    for row in load_shipped().reports
    for traits in (row.condition.traits, ())
]


def passes(filters: list[FaultTypes], event_type: str) -> bool:
    return all(
        next((passing for pattern, passing in one.lines if matches_glob(event_type, pattern)), one.otherwise)
        for one in filters
    )


@pytest.mark.parametrize("settings", [Settings(), OPERATORS], ids=["shipped", "operator"])
def test_the_database_is_never_asked_for_too_little(settings: Settings) -> None:
    """For each entry and for events that lack its traits; red when only one entry of a pattern counts."""
    kinds = {kind: by_kind(settings, kind.__eq__) for kind in FaultyResourceType}
    causes = {
        word: by_cause(settings, lambda cause, word=word: cause.event_type is word)  # type: ignore[misc]
        for word in EventType
    }
    for event_type, traits in EXAMPLES:
        naming = settings.naming(event_type, traits)
        assert passes(causes[naming.cause.event_type], event_type), (event_type, traits)
        assert passes(by_fault_type(settings, [naming.fault_type]), event_type), (event_type, traits)
        if naming.family is not None and naming.family.kind is not None:
            assert passes(kinds[naming.family.kind], event_type), (event_type, traits)


def test_the_database_is_asked_for_no_more_lines_than_decide() -> None:
    (storage,) = by_kind(Settings(), FaultyResourceType.STORAGE.__eq__)
    assert len(storage.lines) < len(load_shipped().reports) / 3
    assert not passes([storage], "compute.instance.update")
    assert passes([storage], "eventalarm.timer.absence")
