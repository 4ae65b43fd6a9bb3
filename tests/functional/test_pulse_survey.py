"""What a snapshot lists, by a real openstacksdk from a stand-in for Nova, Neutron and Cinder."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import openstack
import pytest

from eventalarm.pulse.connection import sdk_errors
from eventalarm.pulse.inventory import Item, Kind
from eventalarm.pulse.survey import Survey, SurveyFailed
from tests.support.nova import OpenStack

COMPUTE = (Kind.SERVER, Kind.VOLUME, Kind.NETWORK, Kind.ROUTER, Kind.PORT, Kind.FLOATING_IP)


@pytest.fixture
def nova() -> Iterator[OpenStack]:
    made = OpenStack()
    yield made
    made.close()


@pytest.fixture
def connection(
    nova: OpenStack, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[openstack.connection.Connection]:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(nova.clouds_yaml(tmp_path)))
    with openstack.connect(cloud="stand-in") as made:
        yield made


def test_all_pages_are_listed_with_owner_and_state(
    nova: OpenStack, connection: openstack.connection.Connection
) -> None:
    """Red if only the first page is read, or the ports of agents are listed."""
    for number in range(5):
        nova.add_server(f"vm-{number}", "a", "compute-1")
    nova.ports.append({**nova.ports[0], "id": "dhcp", "device_owner": "network:dhcp"})
    nova.add("volumes", "disk", "", status="in-use", **{"os-vol-tenant-attr:tenant_id": "a"})
    nova.add("routers", "edge", "b", status="ERROR")
    survey = Survey(connection, sdk_errors(), page_size=2)
    assert survey.offered(Kind) == COMPUTE
    assert list(survey.items(Kind.SERVER)) == [
        Item(Kind.SERVER, f"vm-{n}", f"vm-{n}", "ACTIVE", "a") for n in range(5)
    ]
    assert [one.id for one in survey.items(Kind.PORT)] == [f"port-vm-{n}" for n in range(5)]
    assert list(survey.items(Kind.VOLUME)) == [Item(Kind.VOLUME, "disk", "disk", "IN-USE", "a")]
    assert list(survey.items(Kind.ROUTER)) == [Item(Kind.ROUTER, "edge", "edge", "ERROR", "b")]


def test_of_one_project_nothing_else_is_listed(
    nova: OpenStack, connection: openstack.connection.Connection
) -> None:
    """Red if an administrator's snapshot of a project has the networks of all, as Neutron shows them."""
    nova.project = "a"
    for project in "ab":
        nova.add_server(f"vm-{project}", project, "compute-1")
        nova.add("networks", f"net-{project}", project)
    survey = Survey(connection, sdk_errors(), page_size=100, project_id="a")
    kinds = (Kind.SERVER, Kind.NETWORK, Kind.PORT)
    assert [[one.id for one in survey.items(kind)] for kind in kinds] == [["vm-a"], ["net-a"], ["port-vm-a"]]


def test_a_service_that_fails_is_named_with_its_answer(
    nova: OpenStack, connection: openstack.connection.Connection
) -> None:
    survey = Survey(connection, sdk_errors(), page_size=100)
    assert list(survey.items(Kind.NETWORK)) == []
    nova.fail = True
    with pytest.raises(SurveyFailed, match=r"networks: .*503"):
        list(survey.items(Kind.NETWORK))
