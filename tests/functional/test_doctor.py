"""OPNFV Doctor's scenarios with everything real: fault management and planned maintenance."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventalarm.trial.own_cloud.programs.processes import Programs
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.functional.conftest import _supply
from tests.support.doctor import (
    ADMINS,
    HOST_RULE,
    MAINTENANCE_HOST_RULE,
    MAINTENANCE_RULE,
    SERVER_RULE,
    Doctor,
    described,
)
from tests.support.helpers import WebhookSink, wait_until
from tests.support.ingest_api import report

WITHIN = 1000.0
ROUNDS = 3


def allowed() -> float:
    """Return the milliseconds that a webhook may take: a second, or more while the machine is busy."""
    return WITHIN * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@pytest.fixture(scope="module")
def doctor(
    rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Doctor]:
    rabbitmq.start()
    folder, sink = tmp_path_factory.mktemp("doctor"), WebhookSink()
    spawn = Programs(folder)
    one = Doctor(spawn, folder, _supply("mariadb", request).with_ours(), rabbitmq.new_url(), sink)
    # The first notification waits until Ceilometer's agent has all its queues.
    one.watch(SERVER_RULE, {"warm": "bystander"})
    one.watch(HOST_RULE, {"warm-admin": ADMINS})
    one.nova(True, "warm-host", {"warm": "bystander"})
    # Both, since they take different paths through the agent.
    sink.wait(1, "/warm", timeout=60)
    sink.wait(1, "/warm-admin", timeout=60)
    yield one
    one.close()
    spawn.close()
    sink.close()


def settled(doctor: Doctor) -> Counter[str]:
    """Return the webhooks so far by path, once everything published is evaluated and delivered."""
    marker = f"marker-{uuid.uuid4()}"
    doctor.watch(SERVER_RULE, {marker: "bystander"})
    doctor.report(report("compute.host.down", instance_id=marker, status="down", project_id="bystander"))
    doctor.sink.wait(1, f"/{marker}")
    doctor.cloud.settle()
    return Counter(request.path for request in doctor.sink.requests)


@pytest.mark.parametrize("speaker", ["inspector", "nova"])
@pytest.mark.parametrize("servers", [10, 100])
def test_fault_management(doctor: Doctor, speaker: str, servers: int, figure: Callable[[str], None]) -> None:
    """A host fails: all owners of its servers and the administrator are notified at once, nobody else is.

    Fails without owners in the reports, infrastructure projects, the versioned topic, or our definitions. The
    best of a few rounds counts, so that other load of the machine is not measured.
    """
    run = f"{speaker}-{servers}"
    host = f"compute-{run}"
    owners = {f"{run}-vm-{number}": f"{run}-p-{number}" for number in range(servers)}
    elsewhere = {f"{run}-other-{number}": project for number, project in enumerate(owners.values())}
    doctor.watch(SERVER_RULE, owners | elsewhere)
    doctor.watch(HOST_RULE, {f"{run}-admin": ADMINS, f"{run}-stranger": "stranger"})
    down = {
        "inspector": lambda: doctor.host("down", host, owners),
        "nova": lambda: doctor.nova(True, host, owners),
    }
    up = {
        "inspector": lambda: doctor.host("up", host, owners),
        "nova": lambda: doctor.nova(False, host, owners),
    }
    paths = {**{server: server for server in owners}, "": f"{run}-admin"}
    cleared_paths = {about: f"{path}/ok" for about, path in paths.items()}
    slowest: list[float] = []
    while not slowest or (min(slowest) > WITHIN and len(slowest) < ROUNDS):
        number = len(slowest) + 1
        raised = doctor.latencies(down[speaker](), paths, number)
        cleared = doctor.latencies(up[speaker](), cleared_paths, number)
        slowest.append(max(raised[-1], cleared[-1]))
        figure(f"{run}, round {number}: raised {described(raised)}; cleared {described(cleared)}")

    found = settled(doctor)
    mine = {path: count for path, count in found.items() if path.startswith(f"/{run}")}
    assert mine == {f"/{path}{suffix}": len(slowest) for path in paths.values() for suffix in ("", "/ok")}
    assert min(slowest) < allowed()
    (hook, *_) = doctor.sink.at(f"/{run}-admin")
    assert hook.json["current"] == "alarm"
    traits = {name: value for name, _, value in hook.json["reason_data"]["event"]["traits"]}
    assert (traits["hostname"], traits.get("project_id"), traits.get("tenant_id")) == (host, None, None)


STATES = ("MAINTENANCE", "SCALE_IN", "PREPARE_MAINTENANCE", "PLANNED_MAINTENANCE", "INSTANCE_ACTION_DONE")


def test_maintenance(doctor: Doctor) -> None:
    """One session, two projects: each is notified of its own states, the administrator of the host's.

    Fails without our definitions: then every state would have the same traits.
    """
    session, host = str(uuid.uuid4()), "compute-maintained"
    projects = {"m-a": "project-ma", "m-b": "project-mb"}
    doctor.watch(MAINTENANCE_RULE, projects | {"m-other": "project-mc"}, repeat_actions=True)
    doctor.watch(MAINTENANCE_HOST_RULE, {"m-admin": ADMINS, "m-nosy": "project-ma"})
    for number, state in enumerate(STATES, 1):
        if state == "PLANNED_MAINTENANCE":
            doctor.tell("maintenance.host", host=host, session_id=session, state="IN_MAINTENANCE")
        for path, project in projects.items():
            doctor.tell(
                "maintenance.scheduled",
                project_id=project,
                session_id=session,
                state=state,
                reply_url=f"http://admin-tool/{session}/{project}",
                actions_at="2026-11-21T06:00:00",
                allowed_actions=["MIGRATE", "OWN_ACTION"],
                instance_ids=[f"{path}-vm"],
            )
        for path in projects:
            doctor.sink.wait(number, f"/{path}")
    doctor.tell("maintenance.host", host=host, session_id=session, state="MAINTENANCE_COMPLETE")
    for project in projects.values():
        doctor.tell(
            "maintenance.scheduled", project_id=project, session_id=session, state="MAINTENANCE_COMPLETE"
        )
    for path in (*projects, "m-admin"):
        doctor.sink.wait(1, f"/{path}/ok")

    found = settled(doctor)
    assert {path: count for path, count in found.items() if path.startswith("/m-")} == {
        "/m-a": 5,
        "/m-b": 5,
        "/m-a/ok": 1,
        "/m-b/ok": 1,
        "/m-admin": 1,
        "/m-admin/ok": 1,
    }
    for path, project in projects.items():
        events = [hook.json["reason_data"]["event"] for hook in doctor.sink.at(f"/{path}")]
        traits = [{name: value for name, _, value in event["traits"]} for event in events]
        assert [one["state"] for one in traits] == list(STATES)
        assert {one["project_id"] for one in traits} == {project}
        assert {one["reply_url"] for one in traits} == {f"http://admin-tool/{session}/{project}"}
        assert {one["instance_ids"] for one in traits} == {f"['{path}-vm']"}
        assert {one["actions_at"][:19] for one in traits} == {"2026-11-21T06:00:00"}
    (hook,) = doctor.sink.at("/m-admin")
    named = {name: value for name, _, value in hook.json["reason_data"]["event"]["traits"]}
    assert (named["host"], named["state"]) == (host, "IN_MAINTENANCE")


def test_infrastructure_events_are_for_infrastructure_projects_only(doctor: Doctor) -> None:
    """G5: tenants do not see events without a project, nor administrators those of tenants."""
    everything = {"event_type": ["network.switch.*"], "group_by": ["switch", "project_id"]}
    names = {"i-admin": ADMINS, "i-a": "project-ia", "i-b": "project-ib"}
    doctor.watch(everything, names, repeat_actions=True)
    fault: dict[str, Any] = {"switch": "tor-1", "status": "failed"}
    doctor.report(
        report("network.switch.down", **fault),
        report("network.switch.down", **fault, project_id="project-ia"),
        report("network.switch.down", **fault, tenant="project-ib"),
        report("network.switch.down", **fault, project_id=""),
    )
    for path in names:
        doctor.sink.wait(1, f"/{path}")

    settled(doctor)
    wait_until(lambda: len(doctor.sink.at("/i-admin")) == 2)
    owners = {
        path: [
            next(
                (
                    value
                    for name, _, value in hook.json["reason_data"]["event"]["traits"]
                    if name == "project_id"
                ),
                "",
            )
            for hook in doctor.sink.at(f"/{path}")
        ]
        for path in names
    }
    assert owners == {"i-admin": ["", ""], "i-a": ["project-ia"], "i-b": ["project-ib"]}
