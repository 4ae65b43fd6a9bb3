"""The Prometheus endpoint of a real listener: all its processes added up, also when one dies."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from eventalarm import metrics_server
from eventalarm.exceptions import InvalidOption
from eventalarm.trial.own_cloud.services.keeper import free_ports
from tests.functional.conftest import Spawn
from tests.support.cloud import Cloud, make_event
from tests.support.helpers import Process, WebhookSink, wait_until


def scrape(port: int) -> dict[tuple[str, ...], float]:
    """Return the samples by name and label values."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    families = text_string_to_metric_families(text)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def probe(port: int, path: str) -> tuple[int, str]:
    """Return status and text of a health check of the listener."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


@pytest.fixture
def cloud(spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str) -> Iterator[Cloud]:
    (port,) = free_ports(1)
    ours = {
        "workers": 2,
        "metrics_port": port,
        "metrics_outbox_interval": 0.2,
        "batch_size": 1,
        "prefetch": 32,
        "watchdog_warn": 2,
    }
    delivery = {"max_attempts": 2, "retry_initial": 0.01}
    made = Cloud(spawn, tmp_path, our_mariadb_url, rabbit_url, eventalarm=ours, eventalarm_delivery=delivery)
    yield made
    made.close()


def fire(cloud: Cloud, sink: WebhookSink) -> tuple[Process, str]:
    """Let two workers process 40 events of one alarm, one for a failing webhook, and an invalid one."""
    sink.behave("/down", statuses=[503])
    good = cloud.create_alarm([sink.url("/good")], instance="vm-1", repeat_actions=True)
    cloud.create_alarm([sink.url("/down")], instance="vm-2")
    listener = cloud.start_listener()
    wait_until(lambda: listener.text().count("Listening on topic") == 2, 60.0, "two workers")
    listener.wait_for_log("Metrics on http://127.0.0.1")
    cloud.publish({"event_type": "no id"}, make_event("vm-2"))
    moment = cloud.database.now()
    for _ in range(40):
        # All at one time, since two processes may take them in any order, and late events change nothing.
        cloud.publish(make_event("vm-1", generated=moment))
    sink.wait(40, "/good", 60.0)
    sink.wait(2, "/down")
    return listener, good


def settled(port: int) -> dict[tuple[str, ...], float]:
    """Return the samples once all deliveries are finished."""

    def look() -> bool:
        seen = scrape(port)
        return [seen.get((f"eventalarm_outbox_{name}",)) for name in ("failed", "unfinished")] == [1, 0]

    wait_until(look, 30.0, "the outbox to be empty")
    return scrape(port)


def check_counters(found: dict[tuple[str, ...], float]) -> None:
    assert found["eventalarm_deliveries_total", "delivered"] == 40
    assert found["eventalarm_outbox_due",] == 0
    assert found["eventalarm_events_total", "evaluated", ""] == 41
    assert found["eventalarm_events_total", "unreadable", "no_message_id"] == 1
    assert found["eventalarm_messages_total", "taken"] == 41
    assert found["eventalarm_transitions_total", "raised"] == 2
    assert found["eventalarm_transitions_total", "changed"] == 39
    assert found["eventalarm_decisions_total", "raised"] == 2
    assert found["eventalarm_delivery_retries_total", "http_5xx"] == 1
    assert found["eventalarm_deliveries_total", "given_up"] == 1


def check_times_and_gauges(found: dict[tuple[str, ...], float], now: float) -> None:
    batches = found["eventalarm_batches_total", "committed"]
    for name in ("batch", "match", "commit"):
        assert found[f"eventalarm_{name}_seconds_count",] == batches
    for stage, count in (("received", batches), ("committed", batches), ("answered", 40)):
        assert found["eventalarm_event_age_seconds_count", stage] == count
    assert found["eventalarm_event_age_seconds_sum", "received"] > 0
    ages = [found["eventalarm_event_age_seconds_sum", stage] for stage in ("received", "committed")]
    assert ages == sorted(ages)
    assert found["eventalarm_listeners",] == 2
    # Each process that took an event holds both alarms of the one project.
    assert found["eventalarm_cache_alarms",] == 2 * found["eventalarm_cache_projects",] > 0
    assert found["eventalarm_cache_refreshed_timestamp_seconds",] > now - 100


def workers_of(listener: Process, broker: int) -> list[psutil.Process]:
    """Return the two workers: the processes with a connection to the broker's port."""
    family = psutil.Process(listener.pid).children()
    found = [p for p in family if any(c.raddr and c.raddr.port == broker for c in p.net_connections("tcp"))]
    assert len(found) == 2
    return found


def check_report(listener: Process, worker: psutil.Process) -> None:
    """A worker that gets SIGUSR2 writes its threads and its configuration, without secrets, and goes on."""
    before = len(listener.text())
    worker.send_signal(signal.SIGUSR2)
    listener.wait_for_log(r"Configuration of eventalarm-listener[\s\S]*transport_url = \*\*\*")
    report = listener.text()[before:]
    assert "Threads" in report
    assert "pifpaf:secret" not in report
    assert worker.is_running()


def test_all_processes_on_one_endpoint(cloud: Cloud, webhook_sink: WebhookSink) -> None:
    port = cloud.conf.eventalarm.metrics_port
    listener, good = fire(cloud, webhook_sink)
    wait_until(lambda: probe(port, "/readyz") == (200, "ok\n"), 30.0, "the listener to be ready")
    assert probe(port, "/healthz") == (200, "ok\n")
    found = settled(port)
    check_counters(found)
    check_times_and_gauges(found, cloud.database.now().timestamp())
    assert len(cloud.transitions(good)) == 40

    broker = int(cloud.conf.transport_url.rpartition(":")[2].partition("/")[0])
    killed = workers_of(listener, broker)[0]
    check_report(listener, killed)
    folder = next(pathlib.Path(tempfile.gettempdir()).glob(f"{metrics_server.FOLDER}{listener.pid}-*"))
    before = {path.name for path in folder.glob("gauge_live*.db")}
    assert before
    killed.send_signal(signal.SIGKILL)
    wait_until(lambda: listener.text().count("Listening on topic") == 3, 60.0, "a new worker")
    after = scrape(port)
    assert after["eventalarm_events_total", "evaluated", ""] == 41
    left = {path.name for path in folder.glob("gauge_live*.db")}
    assert not any(name.endswith(f"_{killed.pid}.db") for name in left)

    assert listener.terminate() == 0
    assert not folder.exists()


def test_files_of_a_killed_listener_are_removed(tmp_path: pathlib.Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = tmp_path / f"{metrics_server.FOLDER}{ended.pid}-x"
    living = tmp_path / f"{metrics_server.FOLDER}{os.getpid()}-x"
    other = tmp_path / f"{metrics_server.FOLDER}x-x"
    for folder in (dead, living, other):
        folder.mkdir()
    with metrics_server.shared_folder(str(tmp_path)) as ours:
        assert sorted(tmp_path.iterdir()) == sorted([living, other, ours])
        assert os.environ[metrics_server.VARIABLE] == str(ours)
    assert sorted(tmp_path.iterdir()) == sorted([living, other])
    assert metrics_server.VARIABLE not in os.environ


def test_an_occupied_port_is_named_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            InvalidOption, match=r"\[eventalarm\] metrics_port: 127.0.0.1:\d+ cannot be opened"
        ):
            metrics_server.check_free("127.0.0.1", port, "eventalarm")
    metrics_server.check_free("127.0.0.1", port, "eventalarm")
    with pytest.raises(InvalidOption, match="metrics_host"):
        metrics_server.check_free("192.0.2.1", port, "eventalarm_inspector")
