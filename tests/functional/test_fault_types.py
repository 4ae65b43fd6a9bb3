"""``GET /ifa/v1/fault-types``: the dictionary of alarms, as consumers and operators read it."""

from __future__ import annotations

from typing import Any

import pytest

from eventalarm.catalogue.fault_files import load_shipped
from eventalarm.storage import database as storage
from tests.support.ifa_api import ADMIN, IfaApi

PATH = "/ifa/v1/fault-types"


def api(url: str, **overrides: Any) -> IfaApi:
    return IfaApi(storage.connect(url), **overrides)


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json]


def test_the_dictionary_is_the_catalogue(our_sqlite_url: str) -> None:
    answer = api(our_sqlite_url).get(PATH)
    assert names(answer) == [fault.name for fault in load_shipped().faults]
    (down,) = [one for one in answer.json if one["name"] == "host-down"]
    assert down["faultTypes"] == ["compute.host.down"]
    assert {
        "event": "service.update",
        "traits": {"binary": ["nova-compute"], "forced_down": ["True"]},
    } in down["reportedBy"]
    assert (down["eventType"], down["perceivedSeverity"], down["fanOut"]) == (
        *("EQUIPMENT_ALARM", "CRITICAL"),
        "host",
    )


def test_it_is_read_by_fault_type_and_kind_of_resource(our_sqlite_url: str) -> None:
    api_ = api(our_sqlite_url)
    assert names(api_.get(PATH, fault_type="octavia.loadbalancer.error")) == [
        "load-balancer",
        "load-balancer-error",
    ]
    switches = names(api_.get(PATH, fault_type=["network.switch.port", "compute.host.fan*"]))
    assert {"switch-port", "host-fan"} <= set(switches)
    assert "volume" not in switches
    stored = api_.get(PATH, resource_type="STORAGE")
    assert {one["faultyResourceType"] for one in stored.json} == {"STORAGE"}
    assert api_.get(PATH, resource_type="RACK").status_code == 400
    assert api_.get(PATH, fault_tipe="x").status_code == 400


def test_it_is_not_sent_again_unless_it_changed(our_sqlite_url: str) -> None:
    api_ = api(our_sqlite_url)
    first = api_.get(PATH)
    tag = first.headers["etag"]
    again = api_.get(PATH, headers={"If-None-Match": tag})
    assert (again.status_code, again.text) == (304, "")
    assert api_.get(PATH, headers={"If-Match": '"another"'}).status_code == 412
    changed = api(our_sqlite_url, severity_overrides={"compute.host.down": "MINOR"})
    assert changed.get(PATH).headers["etag"] != tag


def test_the_operators_tables_show_in_it(our_sqlite_url: str) -> None:
    api_ = api(
        our_sqlite_url,
        severity_overrides={"compute.host.disk": "MAJOR"},
        causes=["compute.host.disk EQUIPMENT_ALARM equipmentMalfunction"],
        resources=["compute.host.disk - - hostname"],
    )
    found = {one["name"]: one for one in api_.get(PATH).json}
    disk = found["host-disk"]
    assert (disk["perceivedSeverity"], disk["probableCause"]) == ("MAJOR", "equipmentMalfunction")
    assert (disk["managedObjectTraits"], "faultyResourceType" in disk) == (["hostname"], False)
    assert found["host-fan"]["perceivedSeverity"] == "WARNING"


def test_it_may_be_read_by_readers_only(our_sqlite_url: str) -> None:
    api_ = api(our_sqlite_url)
    assert api_.get(PATH, roles="reader").status_code == 200
    assert api_.get(PATH, roles=ADMIN).status_code == 200
    assert api_.get(PATH, roles="nobody").status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_it_cannot_be_changed(our_sqlite_url: str, method: str) -> None:
    assert api(our_sqlite_url).call(method, PATH).status_code == 405
