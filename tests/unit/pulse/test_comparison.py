"""What an upgrade broke: what is missing or stopped, what is a warning only, and what is never reported."""

from __future__ import annotations

import dataclasses

import pytest

from eventalarm.pulse.comparison import (
    OPERATIONAL,
    REQUESTED,
    BrokenService,
    Change,
    compare,
    findings,
    recovered,
)
from eventalarm.pulse.finding import Finding, Health
from eventalarm.pulse.inventory import Item, Kind

SERVER = Item(Kind.SERVER, "s-1", "web", "ACTIVE", "a")


@pytest.mark.parametrize(
    ("kind", "before", "now", "health"),
    [
        (Kind.SERVER, "ACTIVE", "ERROR", Health.CRITICAL),
        (Kind.SERVER, "ACTIVE", "UNKNOWN", Health.CRITICAL),
        (Kind.SERVER, "ACTIVE", "SHUTOFF", Health.WARNING),
        (Kind.SERVER, "SHUTOFF", "ERROR", Health.OK),
        (Kind.ROUTER, "ACTIVE", "DOWN", Health.CRITICAL),
        (Kind.VOLUME, "AVAILABLE", "IN-USE", Health.OK),
        (Kind.VOLUME, "IN-USE", "ERROR", Health.CRITICAL),
        (Kind.LOAD_BALANCER, "ACTIVE/ONLINE", "ERROR/ONLINE", Health.CRITICAL),
        (Kind.LOAD_BALANCER, "ACTIVE/ONLINE", "ACTIVE/OFFLINE", Health.CRITICAL),
        (Kind.LOAD_BALANCER, "ACTIVE/ONLINE", "ACTIVE/DEGRADED", Health.WARNING),
        (Kind.FLOATING_IP, "ACTIVE", "DOWN", Health.WARNING),
        (Kind.PORT, "DOWN", "ACTIVE", Health.OK),
        (Kind.ALARM, "ENABLED", "DISABLED", Health.WARNING),
        (Kind.SUBSCRIPTION, "", "", Health.OK),
    ],
)
def test_how_bad_a_change_of_state_is(kind: Kind, before: str, now: str, health: Health) -> None:
    item = Item(kind, "x", state=before)
    assert compare([item], [dataclasses.replace(item, state=now)]).health is health


def test_a_kind_that_can_stop_has_states_for_a_warning() -> None:
    assert OPERATIONAL.keys() == REQUESTED.keys()
    assert all(not OPERATIONAL[kind] & REQUESTED[kind] for kind in OPERATIONAL)


def test_the_resources_of_a_service_that_failed_are_not_missing() -> None:
    ports = [Item(Kind.PORT, f"p-{n}", state="ACTIVE") for n in range(3)]
    stopped = dataclasses.replace(ports[0], state="DOWN")
    broken = BrokenService("network", (Kind.PORT, Kind.ROUTER), "503 Service Unavailable")
    found = compare([SERVER, *ports], [SERVER, stopped, broken])
    assert (found.broken, found.differences, found.compared) == ((broken,), (), 1)
    (finding,) = findings(found)
    assert (finding.target, finding.health) == ("service network", Health.CRITICAL)
    assert finding.summary == "service network: ports, routers cannot be listed: 503 Service Unavailable"


def test_a_service_that_left_the_catalog_is_a_fault() -> None:
    found = compare([Item(Kind.LOAD_BALANCER, "lb")], [BrokenService("load-balancer", (Kind.LOAD_BALANCER,))])
    (finding,) = findings(found)
    assert (
        finding.summary
        == "service load-balancer is no longer in the catalog: load balancers cannot be listed"
    )
    assert found.health is Health.CRITICAL


def test_the_finding_of_a_resource_belongs_to_its_owner() -> None:
    (finding,) = findings(compare([SERVER], []))
    assert (finding.target, finding.project_id) == ("server s-1", "a")
    assert finding.summary == "server web (s-1) is missing"
    assert finding.remedy


def test_what_is_new_is_no_finding() -> None:
    found = compare([], [SERVER])
    assert [one.change for one in found.differences] == [Change.NEW]
    assert list(findings(found)) == []


def test_an_item_that_was_listed_twice_counts_as_it_was_listed_last() -> None:
    error = dataclasses.replace(SERVER, state="ERROR")
    assert compare([SERVER], [error, SERVER]).differences == ()
    assert [one.state for one in compare([SERVER], [SERVER, error]).differences] == ["ERROR"]


KNOWN = (
    Finding(target="server s-1", health=Health.CRITICAL, summary="missing", remedy="x", project_id="a"),
    Finding(target="router r-1", health=Health.WARNING, summary="stopped", project_id="b"),
    Finding(target="service network", health=Health.CRITICAL, summary="failed"),
    Finding(target="server s-2", health=Health.OK, summary="as expected", project_id="a"),
)
ALL = tuple(Kind)


@pytest.mark.parametrize(
    ("now", "kinds", "project", "targets"),
    [
        ([SERVER], ALL, "", ["server s-1", "router r-1", "service network"]),
        ([], ALL, "", ["router r-1", "service network"]),
        ([SERVER], ALL, "a", ["server s-1", "service network"]),
        ([SERVER], (Kind.SERVER,), "", ["server s-1"]),
        ([SERVER, BrokenService("network", (Kind.ROUTER, Kind.PORT), "503")], ALL, "", ["server s-1"]),
    ],
    ids=["all is well", "still missing", "of another project", "of another kind", "cannot be compared"],
)
def test_a_fault_ends_only_if_it_was_compared(
    now: list[Item | BrokenService], kinds: tuple[Kind, ...], project: str, targets: list[str]
) -> None:
    found = list(recovered(KNOWN, compare([SERVER], now), kinds, project))
    assert [one.target for one in found] == targets
    assert {one.health for one in found} == {Health.OK}
