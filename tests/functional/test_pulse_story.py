"""Health checks of a cloud with a real Keystone, Glance and Placement: a service dies, an upgrade breaks."""

from __future__ import annotations

import pathlib
import stat
import time
from collections.abc import Iterator

import pytest

from eventalarm.trial.own_cloud.programs.processes import Programs
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.functional.conftest import _supply
from tests.support.helpers import WebhookSink, wait_until
from tests.support.keystone import Keystone
from tests.support.pulse_cloud import INTERVAL, PulseCloud

GLANCE, PLACEMENT = "glance", "placement"


@pytest.fixture(scope="module")
def pulse(
    rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[PulseCloud]:
    rabbitmq.start()
    folder = tmp_path_factory.mktemp("pulse")
    supply = _supply("mariadb", request)
    keystone, spawn = Keystone(tmp_path_factory.mktemp("keystone")), Programs(folder)
    with keystone.running():
        made = PulseCloud(spawn, folder, keystone, supply.empty, supply.with_ours(), rabbitmq.new_url())
        try:
            made.start()
            yield made
        finally:
            made.close()
            spawn.close()


def test_what_an_upgrade_broke_is_found_and_its_owner_notified(
    pulse: PulseCloud, tmp_path: pathlib.Path, webhook_sink: WebhookSink
) -> None:
    """Red if a missing router is not found, concerns somebody else, or is not cleared once it is back."""
    file, nova, owner = tmp_path / "before.json", pulse.nova, pulse.tenants
    nova.add_server("web", owner, "compute-1")
    for listed, name in (("networks", "net"), ("routers", "edge"), ("volumes", "disk")):
        nova.add(listed, name, owner)
    nova.lists["volumes"][0]["status"] = "in-use"
    alarm = pulse.alarm(owner, webhook_sink.url("/owner"))
    pulse.alarm(pulse.operators, webhook_sink.url("/operators"))
    taken = pulse.run("snapshot", str(file), "--all-projects")
    assert taken.code == 0, taken.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert alarm in file.read_text()
    assert "1 router" in taken.out

    revisions = pulse.upgrade()
    assert all(before != after for before, after in revisions.values()), revisions
    unchanged = pulse.run("compare", str(file))
    assert (unchanged.code, unchanged.out.split(":")[0]) == (0, "OK"), unchanged

    (router,) = nova.lists["routers"]
    nova.lists["routers"].clear()
    nova.servers[0]["status"] = "SHUTOFF"
    nova.add("networks", "new", owner)
    found = pulse.run("compare", str(file), "--json", "--report-events")
    assert found.code == 2, found.err
    differences = {one["id"]: (one["change"], one["status"]) for one in found.json["differences"]}
    assert differences == {
        "edge": ("missing", "critical"),
        "web": ("not_operational", "warning"),
        "new": ("new", "ok"),
    }
    wait_until(lambda: len(pulse.cloud.transitions(alarm)) == 2, 30, "a transition for each resource")
    targets = {_trait(one.json, "target") for one in webhook_sink.wait(2, "/owner")}
    assert targets == {"router edge", "server web"}

    nova.lists["routers"].append(router)
    nova.servers[0]["status"] = "ACTIVE"
    assert pulse.run("compare", str(file), "--report-events").code == 0
    wait_until(lambda: webhook_sink.at("/owner")[-1].json["current"] == "ok", 30, "the end of all faults")
    assert webhook_sink.at("/operators") == []


def test_the_operator_is_notified_of_a_service_that_was_killed_and_of_its_recovery(
    pulse: PulseCloud, webhook_sink: WebhookSink
) -> None:
    """Red without the check, if the event belongs to another project, or the recovery is not an event."""
    alarm = pulse.alarm(pulse.operators, webhook_sink.url("/pager"))
    pulse.alarm(pulse.tenants, webhook_sink.url("/tenant"))
    service = pulse.pulse()
    try:
        everything = len(pulse.run("run", "endpoint", "--json").json["findings"])
        wait_until(lambda: len(pulse.known()) == everything, 30, "a first round")
        assert webhook_sink.requests == []
        killed = time.monotonic()
        pulse.glance.kill()
        (raised,) = webhook_sink.wait(1, "/pager")
        assert raised.tick - killed < INTERVAL + 1.0
        assert (raised.json["alarm_id"], raised.json["current"]) == (alarm, "alarm")
        assert _trait(raised.json, "target").startswith(GLANCE)
        assert _trait(raised.json, "remedy")
        (shown,) = pulse.ifa_alarms(alarm)
        assert GLANCE in shown["managedObjectId"]
        assert shown["perceivedSeverity"] == "CRITICAL"
        assert shown["probableCause"] == "underlyingResourceUnavailable"
        assert "alarmClearedTime" not in shown

        pulse.glance.start()
        _, cleared = webhook_sink.wait(2, "/pager")
        assert cleared.json["current"] == "ok"
        assert webhook_sink.at("/tenant") == []
    finally:
        assert service.terminate() == 0
    assert pulse.ifa_alarms(alarm) == []


def test_a_tenant_checks_the_cloud_with_an_application_credential(
    pulse: PulseCloud, tmp_path: pathlib.Path
) -> None:
    """Red if the check needs the rights or the database of operators."""
    env = pulse.tenant()
    fine = pulse.run("run", "endpoint", "--json", env=env)
    assert fine.code == 0, fine.out + fine.err
    file = tmp_path / "mine.json"
    assert pulse.run("snapshot", str(file), "--kind", "network", env=env).code == 0
    pulse.placement.kill()
    try:
        ill = pulse.run("run", "endpoint", "--json", env=env)
    finally:
        pulse.placement.start()
    assert ill.code == 2, ill.err
    (failed,) = [one for one in ill.json["findings"] if one["status"] != "ok"]
    assert failed["target"].startswith(PLACEMENT)
    # The project of the credentials of the service is another one.
    refused = pulse.run("compare", str(file))
    assert (refused.code, pulse.tenants in refused.err) == (3, True)


def _trait(body: dict[str, object], name: str) -> str:
    event = body["reason_data"]["event"]  # type: ignore[index]
    return str(next(value for found, _, value in event["traits"] if found == name))
