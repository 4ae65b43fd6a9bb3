"""The monitors and runners of trials, on real sockets and programs; what they ask is a stand-in."""

from __future__ import annotations

import json
import pathlib
import random
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from eventalarm.exceptions import InvalidOption
from eventalarm.trial.history.check import check
from eventalarm.trial.history.records import History
from eventalarm.trial.monitors import probe
from eventalarm.trial.monitors.cloud_health import CloudHealth
from eventalarm.trial.monitors.receiver import Receiver
from eventalarm.trial.own_cloud.services.keeper import free_ports
from eventalarm.trial.plugins import Context, Refused
from eventalarm.trial.runners.command import CommandRunner
from eventalarm.trial.runners.events import Events
from tests.support.helpers import WebhookSink, wait_until
from tests.support.keystone import Keystone


@pytest.fixture
def context(tmp_path: pathlib.Path) -> Context:
    return Context(History(), random.Random(1), tmp_path, time.time, lambda text: None, "test")


def test_http_statuses_and_silence_are_samples(context: Context, webhook_sink: WebhookSink) -> None:
    webhook_sink.behave("/", statuses=[200, 404])
    monitor = probe.http(context, {"url": webhook_sink.url(), "timeout": 1})
    assert [monitor.sample().is_ok for _ in range(2)] == [True, False]
    webhook_sink.close()
    silent = monitor.sample()
    assert not silent.is_ok
    assert "refused" in silent.detail
    expected = probe.http(context, {"url": "http://127.0.0.1:1/", "status": 401})
    assert not expected.sample().is_ok


@pytest.fixture
def cloud(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Keystone:
    """A real Keystone, whose administrator is the cloud ``trial`` of ``clouds.yaml``."""
    folder = tmp_path / "keystone"
    folder.mkdir()
    made = Keystone(folder)
    auth = {name: value for name, value in made.credentials().items() if name != "auth_type"}
    path = tmp_path / "clouds.yaml"
    path.write_text(yaml.safe_dump({"clouds": {"trial": {"auth_type": "password", "auth": auth}}}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    return made


def test_services_of_a_cloud_are_asked_with_its_credentials(
    context: Context, webhook_sink: WebhookSink, cloud: Keystone
) -> None:
    """Red if the service is asked elsewhere or without a token, or its failure counts as an answer."""
    nova = probe.openstack(context, {"cloud": "trial", "service": "compute"})
    keystone = probe.openstack(context, {"cloud": "trial", "service": "identity"})
    with cloud.running():
        cloud.register("nova", "compute", webhook_sink.url("/compute/v2.1"))
        for monitor in (nova, keystone):
            monitor.start()
            found = monitor.sample()
            assert (found.is_ok, found.detail) == (True, "")
    asked = webhook_sink.at("/compute/v2.1/servers?limit=1")[-1]
    assert asked.headers["X-Auth-Token"]
    webhook_sink.behave("/compute/v2.1/servers?limit=1", statuses=[503])
    assert nova.sample().detail == "status 503"
    assert "Unable to establish connection" in keystone.sample().detail
    with pytest.raises(InvalidOption, match="name a cloud of clouds"):
        probe.openstack(context, {"cloud": "other", "service": "compute"}).start()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"status": "critical", "findings": [{"check": "nova", "status": "critical"}]}', "critical: nova"),
        (b'{"status": "great"}', "not the health of a cloud"),
        (b"<html>", "not the health of a cloud"),
    ],
)
def test_an_ill_cloud_and_one_of_unknown_health_are_refused(
    context: Context, webhook_sink: WebhookSink, body: bytes, words: str
) -> None:
    webhook_sink.behave("/v1/health", body=body)
    monitor = CloudHealth(context, {"url": webhook_sink.url()})
    with pytest.raises(Refused, match=words):
        monitor.start()
    assert not monitor.sample().is_ok


def test_a_program_is_a_monitor(context: Context) -> None:
    good = probe.command(context, {"command": ["true"]})
    bad = probe.command(context, {"command": ["sh", "-c", "echo gone; exit 2"]})
    slow = probe.command(context, {"command": ["sleep", "30"], "timeout": 0.1})
    missing = probe.command(context, {"command": ["/no/such/program"]})
    assert good.sample().is_ok
    details = [one.sample().detail for one in (bad, slow, missing)]
    assert details[0] == "exit code 2: gone"
    assert "0.1 s" in details[1]
    assert "No such file" in details[2]


def test_a_program_that_runs_beside_is_ended_with_its_children(
    context: Context, tmp_path: pathlib.Path
) -> None:
    """Red if only the shell is ended, or that counts as a failed run."""
    pid = tmp_path / "pid"
    runner = CommandRunner(context, {"command": ["sh", "-c", f"sleep 600 & echo $! > {pid}; wait"]})
    runner.start()
    child = wait_until(lambda: pid.exists() and pid.read_text().strip(), 10)
    runner.stop()
    stat = pathlib.Path(f"/proc/{child}/stat")
    wait_until(lambda: not stat.exists() or " Z " in stat.read_text(), 10, "the child has ended")
    assert (runner.results()["runs"], runner.problems()) == (0, [])


def test_a_program_that_fails_is_a_problem(context: Context) -> None:
    runner = CommandRunner(context, {"command": ["sh", "-c", "exit 3"], "repeat": True})
    runner.start()
    wait_until(lambda: runner.results()["failed runs"] >= 2, 10)
    runner.stop()
    assert "ended with 3" in runner.problems()[0]
    with pytest.raises(InvalidOption, match="No such file"):
        CommandRunner(context, {"command": ["/no/such/program"]}).start()


class Probing:
    """The runner ``events`` and the receiver, with stand-ins for the ingest API and Aodh."""

    def __init__(self, context: Context, sink: WebhookSink) -> None:
        (port,) = free_ports(1)
        self.sink = sink
        self.url = f"http://127.0.0.1:{port}"
        self.receiver = Receiver(context, {"listen": f"127.0.0.1:{port}"})
        sink.behave("/v2/alarms", statuses=[201], body=b'{"alarm_id": "a-1"}')
        sink.behave("/v1/events", statuses=[503, 202])
        sink.behave("/v2/alarms/a-1", statuses=[204])
        service = {"url": sink.url(), "headers": {"X-Project-Id": "p"}}
        options = {"rate": 100, "webhook": self.url, "ingest": service, "alarming": service}
        self.runner = Events(context, options)
        assert isinstance(context.history, History)
        self.history = context.history

    def fire(self, event: dict[str, Any], delivery_id: str) -> None:
        """Call the webhook as eventalarm does."""
        definition = self.sink.at("/v2/alarms")[0].json
        reported = event["event"]
        body = {
            "alarm_id": "a-1",
            "alarm_name": definition["name"],
            "current": "alarm",
            "reason_data": {
                "event": {"message_id": reported["id"], "generated": reported["time"]},
                "occurrence": {"managed_object": reported["details"]["resource_id"], "transition": "raised"},
            },
        }
        request = urllib.request.Request(
            definition["alarm_actions"][0],
            json.dumps(body).encode(),
            {"X-Eventalarm-Delivery-Id": delivery_id, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200


@pytest.fixture
def probing(context: Context, webhook_sink: WebhookSink) -> Iterator[Probing]:
    made = Probing(context, webhook_sink)
    made.receiver.start()
    yield made
    made.runner.stop()
    made.runner.close()
    made.receiver.stop()


def once(probing: Probing, event: dict[str, Any], number: int) -> None:
    probing.fire(event, f"d-{number}")


def twice(probing: Probing, event: dict[str, Any], number: int) -> None:
    probing.fire(event, f"d-{number}")
    probing.fire(event, f"d-{number}")


def two(probing: Probing, event: dict[str, Any], number: int) -> None:
    probing.fire(event, f"d-{number}")
    probing.fire(event, str(uuid.uuid4()))


def never(probing: Probing, event: dict[str, Any], number: int) -> None:
    """Lose it."""


@pytest.mark.parametrize(
    ("fate", "kinds"),
    [
        (once, set()),
        (never, {"lost transition"}),
        (twice, {"doubled delivery"}),
        (two, {"doubled transition", "wrong kind"}),
    ],
)
def test_the_checker_finds_what_became_of_an_event(
    probing: Probing, fate: Callable[[Probing, dict[str, Any], int], None], kinds: set[str]
) -> None:
    """Red if an event is lost or doubled and the verdict says nothing, or it says so of one that was not."""
    probing.runner.start()
    probing.sink.wait(6, "/v1/events")
    probing.runner.stop()
    posts = {one.json["event"]["id"]: one.json for one in probing.sink.at("/v1/events")}
    events = list(posts.values())
    for number, event in enumerate(events[:-1]):
        once(probing, event, number)
    fate(probing, events[-1], len(events))
    verdict = check(probing.history)
    assert verdict.errors.keys() == kinds, verdict.problems
    results = probing.runner.results()
    assert (results["events reported"], results["requests sent again"]) == (len(events), 1)
    assert all(one.is_probe for one in probing.receiver.notifications())
    probing.runner.close()
    assert [one.method for one in probing.sink.at("/v2/alarms/a-1")] == ["DELETE"]
