"""The ingest API about destinations: their circuits, and enabling one, which other projects cannot."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from eventalarm.model import Circuit, CircuitState
from eventalarm.storage import database as storage
from eventalarm.storage.circuits import CircuitStore
from tests.support.delivery_rows import START, DeliveriesApi, delivery_row, put

LIST = "/v1/destinations"
ENABLE = "/v1/destinations/enable"
HOST = "https://a.example.org:443"
DISABLED = Circuit(
    "a", HOST, CircuitState.DISABLED, 20, START, START, None, probes=7, status=410, error="http_4xx: HTTP 410"
)


@pytest.fixture
def api(lite_database: storage.Database) -> Iterator[DeliveriesApi]:
    one = DeliveriesApi(lite_database)
    yield one
    one.close()


def circuits(api: DeliveriesApi, **who: Any) -> dict[str, str]:
    return {one["destination"]: one["circuit"] for one in api.call("GET", LIST, **who).json}


def test_a_project_sees_and_closes_the_circuits_of_its_destinations(api: DeliveriesApi) -> None:
    put(api.database, [delivery_row("a", 0), delivery_row("a", 1, "deferred")])
    store = CircuitStore(api.database)
    store.write(DISABLED)
    never_sent = "http://new.example.org:80"
    store.write(dataclasses.replace(DISABLED, destination=never_sent, state=CircuitState.OPEN))
    (known, new) = sorted(api.call("GET", LIST).json, key=lambda one: one["destination"] != HOST)
    assert (known["circuit"], known["status"], known["error"], known["probes"]) == (
        *("disabled", 410, "http_4xx: HTTP 410"),
        7,
    )
    assert (known["failing_since"], known["owed"], known["success_rate"]) == (START.isoformat(), 1, 1.0)
    assert (new["destination"], new["circuit"], new["delivered"]) == (never_sent, "open", 0)

    assert api.call("POST", ENABLE, {"destination": HOST}, roles="reader").status_code == 403
    assert api.call("POST", ENABLE, {"destination": "nonsense"}).status_code == 400
    assert api.call("POST", ENABLE, {}).status_code == 400
    closed = api.call("POST", ENABLE, {"destination": "https://A.example.org/hook?token=s3cr3t"})
    assert closed.status_code == 200, closed.text
    assert (closed.json["destination"], closed.json["circuit"], closed.json["error"]) == (
        HOST,
        "closed",
        None,
    )
    assert circuits(api) == {HOST: "closed", never_sent: "open"}
    assert api.call("POST", ENABLE, {"destination": "https://none.example.org"}).status_code == 404


NAMES = st.sampled_from(
    [HOST, "https://b.example.org:443", "https://A.example.org", "https://a.example.org "]
)


@hypothesis.settings(
    max_examples=30, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], deadline=None
)
@hypothesis.given(name=st.one_of(NAMES, st.text(max_size=20)), project=st.sampled_from(["b", "A", "a&"]))
def test_no_project_sees_or_closes_the_circuit_of_another(
    api: DeliveriesApi, name: str, project: str
) -> None:
    store = CircuitStore(api.database)
    store.write(DISABLED)
    assert HOST not in circuits(api, project=project)
    assert api.call("POST", ENABLE, {"destination": name}, project=project).status_code in {400, 404}
    path = f"{ENABLE}?project_id=a"
    assert api.call("POST", path, {"destination": HOST}, project=project).status_code == 403
    assert store.of_project("a")[HOST].state == CircuitState.DISABLED


def test_an_administrator_closes_the_circuit_of_any_project(api: DeliveriesApi) -> None:
    CircuitStore(api.database).write(DISABLED)
    path = f"{ENABLE}?project_id=a"
    answer = api.call("POST", path, {"destination": HOST}, project="b", roles="admin")
    assert answer.json["circuit"] == "closed"
