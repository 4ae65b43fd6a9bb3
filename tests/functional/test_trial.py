"""``eventalarm-trial`` on an existing cloud: local processes that are reached by a real sshd."""

from __future__ import annotations

import functools
import json
import pathlib
import shlex
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm.trial.history import records
from eventalarm.trial.history.check import check
from eventalarm.trial.own_cloud.services.keeper import free_ports
from tests.functional.conftest import Spawn
from tests.support.cloud import PROJECT, USER, Cloud
from tests.support.helpers import WebhookSink, console_script, wait_until
from tests.support.sshd import Sshd
from tests.support.trial import NODE, Trial

ACT = ("--i-mean-it", NODE)
PASSED, FAILED, ERROR, REFUSED, INTERRUPTED, LEFT = range(6)
HEADERS = {"X-Project-Id": PROJECT, "X-User-Id": USER, "X-Roles": "service,member,reader"}


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    try:
        server = Sshd(tmp_path_factory.mktemp("sshd"))
    except RuntimeError as exc:
        pytest.fail(str(exc), pytrace=False)
    yield server
    server.close()


@pytest.fixture
def trial(sshd: Sshd, tmp_path: pathlib.Path) -> Trial:
    return Trial(tmp_path, sshd.host())


def touching(path: pathlib.Path, **fields: Any) -> dict[str, Any]:
    """Return a disruption that makes a file, and undoes that."""
    name = shlex.quote(str(path))
    return {"use": "command", "strike": f"touch {name}", "undo": f"rm -f {name}", "seconds": 0.3, **fields}


def health(sink: WebhookSink, status: str, *findings: dict[str, str]) -> dict[str, Any]:
    """Return the monitor of a stand-in for the health of the cloud."""
    body = json.dumps({"status": status, "findings": findings}).encode()
    sink.behave("/v1/health", body=body)
    return {"use": "pulse", "url": sink.url(), "interval": 0.2}


def _is_listening(log: pathlib.Path) -> bool:
    return log.exists() and "Listening on topic" in log.read_text()


class Listeners:
    """Two listeners that are started by shell, as an operator's supervisor would, with a pid file each."""

    def __init__(self, cloud: Cloud, spawn: Spawn, directory: pathlib.Path) -> None:
        self._spawn = spawn
        self._config = cloud.conf_path
        self._directory = directory

    def start(self, number: int) -> str:
        """Return the script that starts one, and then ends."""
        log, pid = self._directory / f"listener-{number}.log", self.pid_file(number)
        command = f"{console_script('eventalarm-listener')} --config-file {self._config}"
        return f"setsid {command} >>{log} 2>&1 </dev/null & echo $! > {pid}"

    def ready(self, number: int, times: int = 1) -> str:
        """Return the script that succeeds once it takes messages."""
        return f"test $(grep -c 'Listening on topic' {self._directory}/listener-{number}.log) -ge {times}"

    def pid_file(self, number: int) -> pathlib.Path:
        return self._directory / f"listener-{number}.pid"

    def begin(self) -> None:
        for number in range(2):
            assert self._spawn(["sh", "-c", self.start(number)]).wait() == 0

    def wait(self) -> None:
        for number in range(2):
            log = self._directory / f"listener-{number}.log"
            wait_until(functools.partial(_is_listening, log), 60, "a listener")

    def end(self) -> None:
        for number in range(2):
            script = f"kill -s KILL -- -$(cat {self.pid_file(number)})"
            assert self._spawn(["sh", "-c", script]).wait() == 0


@pytest.fixture
def cloud(spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str) -> Iterator[Cloud]:
    made = Cloud(
        spawn,
        tmp_path,
        our_mariadb_url,
        rabbit_url,
        eventalarm={"infrastructure_projects": PROJECT},
        eventalarm_delivery={"lease": 2, "poll_interval": 0.2},
        eventalarm_ingest={"port": 0, "auth_mode": "noauth"},
    )
    yield made
    made.close()


@pytest.fixture
def listeners(cloud: Cloud, spawn: Spawn, tmp_path: pathlib.Path) -> Iterator[Listeners]:
    made = Listeners(cloud, spawn, tmp_path)
    made.begin()
    yield made
    made.end()


def probes(ingest: str, api: str, port: int) -> dict[str, Any]:
    return {
        "use": "events",
        "rate": 8,
        "webhook": f"http://127.0.0.1:{port}",
        "ingest": {"url": ingest, "headers": HEADERS},
        "alarming": {"url": api, "headers": HEADERS},
    }


def test_alarms_go_on_while_a_listener_is_killed_and_its_loss_is_noticed(
    cloud: Cloud, listeners: Listeners, trial: Trial, spawn: Spawn, webhook_sink: WebhookSink
) -> None:
    """Red if an event is lost, the alarm on lost listeners does not fire, or the report lacks one of them."""
    ingest = spawn([console_script("eventalarm-ingest-api"), "--config-file", cloud.conf_path])
    cloud.start_api()
    listeners.wait()
    root = ingest.wait_for_log(r"Serving on (http://\S+)")[1]
    (port,) = free_ports(1)
    cloud.client().alarm.create(
        {
            "name": "listener-lost",
            "type": "notification",
            "severity": "critical",
            "notification_rule": {"event_type": "eventalarm.listener.lost"},
            "alarm_actions": [f"http://127.0.0.1:{port}/operator"],
        }
    )
    kill = {
        "use": "process",
        "name": "kill a listener",
        "pid_file": str(listeners.pid_file(0)),
        "group": True,
        "start": listeners.start(0),
        "ready": listeners.ready(0, 2),
        "survivable": True,
        "seconds": 3.5,
        "noticed_by": "listener-*",
    }
    trial.write(
        [kill],
        monitors=[
            health(webhook_sink, "ok"),
            {"use": "receiver", "listen": f"127.0.0.1:{port}"},
            {"use": "http", "name": "ingest", "url": f"{root}/healthcheck", "interval": 0.2},
        ],
        runners=[probes(root, cloud.api_url, port)],
        limits={"noticed": 15, "availability": {"ingest": 100}},
    )
    done = trial.run(*ACT)
    assert done.returncode == PASSED, done.stdout + done.stderr
    found = trial.report()
    assert (found["events"]["lost"], found["events"]["doubled"], found["failures"]) == (0, 0, [])
    reported = found["runners"]["events"]["events reported"]
    assert found["events"]["numbers"]["transitions"] == reported > 20
    (struck,) = found["disruptions"]
    assert (struck["noticed"]["alarm"], struck["effect"]["hosts"]) == ("listener-lost", [NODE])
    assert 0 < struck["noticed"]["latency"] < 4, "while it is down"
    page = (trial.output / "report.html").read_text()
    assert "listener-lost" in page
    assert "kill a listener" in page
    assert "<svg" in page
    assert check(records.read(trial.output / "history.jsonl")).right
    assert [one["name"] for one in cloud.client().alarm.list()] == ["listener-lost"]
    log = listeners.pid_file(0).with_suffix(".log").read_text()
    assert log.count("Listening on topic") == 2, "it was started once more"


def test_nothing_is_done_unless_the_hosts_are_named(trial: Trial, tmp_path: pathlib.Path, sshd: Sshd) -> None:
    """Red if a dry run, or a run that names another host, connects to the host."""
    before = sshd.text()
    trial.write([touching(tmp_path / "broken")])
    shown = trial.run()
    assert (shown.returncode, shown.stderr) == (PASSED, "")
    assert f"touch {tmp_path / 'broken'}" in shown.stdout
    assert f"--i-mean-it {NODE}" in shown.stdout
    other = trial.run("--i-mean-it", NODE, "node-2")
    assert (other.returncode, "does not break node-2" in other.stderr) == (REFUSED, True)
    assert not (tmp_path / "broken").exists()
    assert not trial.output.exists()
    assert sshd.text() == before


def test_a_trial_is_refused_while_the_cloud_is_ill(
    trial: Trial, tmp_path: pathlib.Path, webhook_sink: WebhookSink
) -> None:
    """Red if the status is not read, the failing check not named, or the override ignored."""
    finding = {"check": "galera", "target": "db-2", "status": "critical", "summary": "not synced"}
    trial.write([touching(tmp_path / "broken")], monitors=[health(webhook_sink, "critical", finding)])
    refused = trial.run(*ACT)
    assert refused.returncode == REFUSED
    assert "galera db-2 not synced" in refused.stderr
    assert "--ignore-pulse" in refused.stderr
    assert not trial.output.exists()
    done = trial.run(*ACT, "--ignore-pulse")
    assert done.returncode == PASSED, done.stdout + done.stderr
    (watched,) = trial.report()["monitors"]
    assert (watched["percent"], watched["samples"][0]["detail"]) == (0.0, "galera db-2 not synced")


def test_what_is_broken_is_undone_when_the_trial_is_ended(
    trial: Trial, tmp_path: pathlib.Path, spawn: Spawn
) -> None:
    """Red if SIGTERM ends the process, or only one of two disruptions is undone."""
    broken = [tmp_path / name for name in ("one", "two")]
    trial.write([{"together": [{"host": NODE, **touching(one, seconds=600)} for one in broken]}])
    process = spawn(trial.command(*ACT))
    wait_until(lambda: all(one.exists() for one in broken), 20, "both broken")
    process.popen.send_signal(signal.SIGTERM)
    assert process.wait(20) == INTERRUPTED, process.text()
    assert not any(one.exists() for one in broken)
    assert trial.report()["interrupted"]
    assert json.loads(trial.state.read_text()) == []


def test_what_a_killed_trial_left_is_named_and_undone(
    trial: Trial, tmp_path: pathlib.Path, spawn: Spawn
) -> None:
    """Red if the file is written after the strike, or the next trial begins all the same."""
    broken = tmp_path / "broken"
    trial.write([touching(broken, name="break it", seconds=600)])
    process = spawn(trial.command(*ACT))
    wait_until(broken.exists, 20, "broken")
    process.kill()
    refused = trial.run(*ACT)
    assert refused.returncode == REFUSED
    assert f"break it on {NODE}" in refused.stderr
    shown = trial.run(verb="undo")
    assert (shown.returncode, f"rm -f {broken}" in shown.stdout) == (PASSED, True)
    assert broken.exists()
    undone = trial.run(*ACT, verb="undo")
    assert (undone.returncode, broken.exists()) == (PASSED, False), undone.stderr
    assert trial.run(verb="undo").stdout == "nothing was left\n"


def test_what_cannot_be_undone_is_said_and_kept(trial: Trial, tmp_path: pathlib.Path) -> None:
    """Red if a failed undo is forgotten."""
    disruption = touching(tmp_path / "broken", undo="false", heal_within=0.1)
    trial.write([disruption, touching(tmp_path / "later")])
    done = trial.run(*ACT)
    assert done.returncode == LEFT
    assert "eventalarm-trial undo" in done.stdout
    assert not (tmp_path / "later").exists()
    assert len(json.loads(trial.state.read_text())) == 1
    assert trial.run(*ACT, verb="undo").returncode == LEFT
