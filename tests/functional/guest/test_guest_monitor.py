"""From a guest that hangs to its owner's webhook: real agents, monitor, ingest API, broker and listener.

Libvirt is not part of this: the monitor uses the sockets of the agents itself (``tests/support/guests.py``).
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import time
from collections.abc import Callable, Iterator

import pytest

from eventalarm import systemd
from eventalarm.trial.own_cloud.programs.processes import Programs
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.functional.conftest import _supply
from tests.support.doctor import ADMINS
from tests.support.guest_monitor import BEAT_RULE, HOST, ComputeNode
from tests.support.guests import (
    flood,
    instance_id,
    needs_qemu_ga,
    nonsense,
    slow_proxy,
    stand_in,
)
from tests.support.helpers import WebhookSink, wait_until
from tests.support.notify_socket import NotifySocket

pytestmark = needs_qemu_ga

INTERVAL = 2.0
HEALTHY = [f"vm-{number}" for number in range(14)]
BROKEN = ["nonsense", "flood", "dead"]
PROGRAM = """#!/bin/sh
if [ -e {flag} ]; then echo '{{"reason": "disk full", "severity": "minor"}}'; exit 3; fi
"""


@pytest.fixture(scope="module")
def node(
    rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[ComputeNode]:
    rabbitmq.start()
    folder, sink = tmp_path_factory.mktemp("guests"), WebhookSink()
    program = folder / "health"
    program.write_text(PROGRAM.format(flag=folder / "sick"))
    program.chmod(0o755)
    spawn, database = Programs(folder), _supply("mariadb", request).with_ours()
    one = ComputeNode(
        spawn, folder, database, rabbitmq.new_url(), sink, interval=INTERVAL, health_command=program
    )
    one.watch([f"of-{name}" for name in (*HEALTHY, *BROKEN, "slow", "checked")])
    one.watch([ADMINS], BEAT_RULE)
    with contextlib.ExitStack() as stack:
        stack.callback(sink.close)
        stack.callback(one.close)
        stack.callback(spawn.close)
        agents = one.agents
        for name in HEALTHY:
            agents.define(name, f"of-{name}", heartbeat="true")
        agents.define("behind", "nobody")
        agents.start(*HEALTHY, "behind")
        agents.add("checked", "of-checked", heartbeat="true", health="true")
        for name, answer in (
            ("nonsense", nonsense),
            ("flood", flood),
            ("slow", slow_proxy(agents.socket_of("behind"), 0.05)),
        ):
            agents.define(name, f"of-{name}", heartbeat="true")
            stack.enter_context(stand_in(agents.socket_of(name), answer))
        agents.define("dead", "of-dead", heartbeat="true")
        yield one


@pytest.fixture
def running(node: ComputeNode) -> ComputeNode:
    """The node with a monitor, which each test may kill."""
    if not hasattr(node, "monitor") or node.monitor.popen.poll() is not None:
        node.start_monitor()
        node.sink.wait(1, "/of-dead")
    return node


def test_an_owner_learns_within_the_interval_that_a_guest_hangs(
    running: ComputeNode, figure: Callable[[str], None]
) -> None:
    """Red when a hung guest delays others, when silence goes unseen, and when events name another owner."""
    node = running
    for name in BROKEN:
        node.sink.wait(1, f"/of-{name}")
    node.agents.freeze("vm-0")
    began = time.monotonic()
    node.sink.wait(1, "/of-vm-0")
    lasted = time.monotonic() - began
    figure(f"guest monitor: SIGSTOP of an agent to its owner's webhook {lasted:.2f} s, interval {INTERVAL} s")
    assert lasted < INTERVAL + 1
    assert node.calls() == {f"/of-{name}": 1 for name in (*BROKEN, "vm-0")}
    found = node.traits("/of-vm-0")
    assert found.items() >= {
        "event_type": "guest.heartbeat.lost",
        "project_id": "of-vm-0",
        "instance_id": instance_id("vm-0"),
        "host": HOST,
        "severity": "major",
        "check": "guest-agent",
    }.items()  # fmt: skip
    assert node.traits("/of-flood")["reason"] == "the response is larger than 65536 bytes"

    node.agents.thaw("vm-0")
    node.sink.wait(1, "/of-vm-0/ok")
    assert node.traits("/of-vm-0/ok")["event_type"] == "guest.heartbeat.restored"


def test_a_health_command_that_fails_is_reported(running: ComputeNode, node: ComputeNode) -> None:
    flag = pathlib.Path(node.agents.folder).parent / "sick"
    flag.touch()
    node.sink.wait(1, "/of-checked")
    found = node.traits("/of-checked")
    assert found["event_type"] == "health.guest"
    assert (found["exit_code"], found["reason"], found["severity"]) == (3, "disk full", "minor")
    flag.unlink()
    node.sink.wait(1, "/of-checked/ok")
    assert f"/of-{HEALTHY[1]}" not in node.calls()


def test_nothing_is_lost_while_the_ingest_api_is_away_and_the_monitor_is_killed(running: ComputeNode) -> None:
    """Red without the spool, and when the state of a guest is stored before its event."""
    node = running
    node.api.kill()
    node.agents.freeze("vm-1")
    node.agents.kill("vm-2")
    lost = [("guest.heartbeat.lost", "of-vm-1"), ("guest.heartbeat.lost", "of-vm-2")]
    node.wait_for_spool(*lost)
    node.monitor.kill()
    node.start_monitor()
    node.agents.thaw("vm-1")
    # vm-2 is still lost: a new monitor knows it, and does not report it again.
    node.wait_for_spool(*lost, ("guest.heartbeat.restored", "of-vm-1"))
    assert {"/of-vm-1", "/of-vm-2"} & set(node.calls()) == set()
    node.start_api()
    for path in ("/of-vm-1", "/of-vm-1/ok", "/of-vm-2"):
        node.sink.wait(1, path)
    node.wait_for_spool()
    node.agents.start("vm-2")
    node.sink.wait(1, "/of-vm-2/ok")
    assert {
        path: number for path, number in node.calls().items() if path.startswith(("/of-vm-1", "/of-vm-2"))
    } == dict.fromkeys(("/of-vm-1", "/of-vm-1/ok", "/of-vm-2", "/of-vm-2/ok"), 1)


def test_the_command_lists_guests_and_challenges_them_once(running: ComputeNode) -> None:
    node = running
    listed = node.command("list")
    assert listed.returncode == 1
    lines = {line.split()[1]: line for line in listed.stdout.splitlines()}
    assert "guest-agent since" in lines["dead"]
    assert "ok" in lines["vm-3"].split()

    def failed() -> set[str]:
        once = node.command("--once", "--json")
        assert once.returncode == 1
        states = {one["name"]: one["state"] for one in json.loads(once.stdout)}
        return {name for name, state in states.items() if state == "failed"}

    # A guest that works may be too slow once on a busy machine; one that is broken never answers.
    wait_until(lambda: failed() == set(BROKEN), 60, "only broken guests at fault")


def test_a_monitor_that_dies_is_missed(running: ComputeNode, tmp_path: pathlib.Path) -> None:
    """Red without the beat."""
    node, manager = running, NotifySocket(tmp_path / "notify")
    raised, cleared = f"/{ADMINS}", f"/{ADMINS}/ok"
    # No beat arrived either while the ingest API was away.
    wait_until(lambda: len(node.sink.at(raised)) == len(node.sink.at(cleared)), 20, "a beat")
    before = len(node.sink.at(raised))
    node.monitor.kill()
    node.sink.wait(before + 1, raised)
    assert node.traits(raised)["event_type"] == "eventalarm.timer.absence"
    monitor = node.start_monitor(**{systemd.VARIABLE: str(manager.path)})
    node.sink.wait(before + 1, cleared)
    assert node.traits(cleared)["guests"] == len(HEALTHY) + len(BROKEN) + 2
    manager.wait(systemd.READY)
    manager.wait(systemd.PROGRESS)
    monitor.popen.terminate()
    assert monitor.wait(20) == 0
    manager.wait(systemd.STOPPING)
    manager.close()
