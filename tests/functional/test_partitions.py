"""Partitions on real processes, RabbitMQ and MariaDB: every project's events are evaluated in their order.

Each project has an alarm that repeats its actions, so that every event is a transition. An event that is
evaluated after a younger one is late, and makes none.
"""

from __future__ import annotations

import datetime
import pathlib
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from eventalarm import bus
from eventalarm.publisher.partitions import Partitioning, of_project
from tests.support.cloud import Cloud, Spawn, make_event
from tests.support.helpers import Process, wait_until, write_config

PROJECTS = [f"project-{number}" for number in range(2, 6)]
# Seconds between two events, one of each project in turn.
PACE = 0.03


class Source:
    """Publishes numbered events of all projects until it is stopped; may change the number of partitions."""

    def __init__(self, cloud: Cloud) -> None:
        self.count = 1
        self.number = 0
        self.published: dict[str, list[str]] = {project: [] for project in PROJECTS}
        self._transport = bus.get_transport(cloud.conf)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        start = datetime.datetime.now(datetime.UTC)
        while not self._stopping.wait(PACE):
            project = PROJECTS[self.number % len(PROJECTS)]
            moment = start + datetime.timedelta(milliseconds=self.number)
            event = make_event(project=project, generated=moment, message_id=f"{project}/{self.number}")
            send = bus.events_sender(
                self._transport,
                split=Partitioning("event_eval", self.count).split,
                exchange="eventalarm",
                publisher_id="test",
            )
            send([event])
            self.published[project].append(event["message_id"])
            self.number += 1

    def more(self, count: int = 6) -> None:
        """Return when as many more events of each project are published."""
        goal = {project: len(ids) + count for project, ids in self.published.items()}
        wait_until(lambda: all(len(self.published[p]) >= n for p, n in goal.items()), what="more events")

    def stop(self) -> None:
        """Publish nothing more."""
        self._stopping.set()
        self._thread.join()
        self._transport.cleanup()


class Stage:
    """A cloud whose listeners have their own numbers of partitions, and an alarm in each project."""

    def __init__(self, cloud: Cloud, folder: pathlib.Path) -> None:
        self.cloud = cloud
        self._folder = folder
        self.alarms = {p: cloud.create_alarm(project=p, repeat_actions=True) for p in PROJECTS}

    def start(self, count: int) -> Process:
        """Start a listener with *count* partitions."""
        options = {"eventalarm": {"partitions": count}}
        path = write_config(self._folder / f"partitions-{count}.conf", options)
        return self.cloud.start_listener("--config-file", str(path))

    def owners(self, count: int) -> set[str]:
        """Return the processes that hold the partitions, once all of them are held."""
        query = "SELECT owner FROM eventalarm_leader_lease WHERE name LIKE :name AND owner IS NOT NULL"

        def found() -> set[str]:
            rows = self.cloud.rows(query, name=f"partition.{count}.%")
            return {row["owner"] for row in rows} if len(rows) == count else set()

        return wait_until(found, what="an owner of each partition")

    def evaluated(self, project: str) -> Counter[str]:
        """Return the ids of the events that made a transition; a late one counts as a thousand."""
        rows = self.cloud.transitions(self.alarms[project])
        return Counter({row["message_id"]: 1000 if row["kind"] == "late" else 1 for row in rows})

    def assert_each_once_and_in_order(self, source: Source) -> None:
        """Check that each event of each project made one transition, and that none was late."""
        for project, ids in source.published.items():
            wait_until(partial(self._has, project, ids[-1]), 60, "the last event")
            assert self.evaluated(project) == Counter(ids)

    def _has(self, project: str, message_id: str) -> bool:
        return message_id in self.evaluated(project)


@pytest.fixture
def stage(spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str) -> Iterator[Stage]:
    cloud = Cloud(
        spawn,
        tmp_path,
        our_mariadb_url,
        f"{rabbit_url}?rabbit_quorum_queue=true",
        eventalarm={"partition_lease": 1.5, "workers": 1},
    )
    yield Stage(cloud, tmp_path)
    cloud.close()


def test_two_listeners_keep_the_order_and_one_takes_over_when_the_other_is_killed(stage: Stage) -> None:
    """Fails without the wait for a queue that has no consumer, and without the end of leases."""
    assert {of_project(project, 2).number for project in PROJECTS} == {0, 1}
    first, second = stage.start(2), stage.start(2)
    wait_until(lambda: len(stage.owners(2)) == 2, what="one partition for each listener")
    source = Source(stage.cloud)
    source.count = 2
    try:
        source.more()
        first.kill()
        source.more()
        wait_until(lambda: len(stage.owners(2)) == 1, what="the other listener")
        source.more()
        third = stage.start(2)
        wait_until(lambda: len(stage.owners(2)) == 2, what="one partition for each listener")
        source.more()
    finally:
        source.stop()
    stage.assert_each_once_and_in_order(source)
    for process in (second, third):
        assert process.terminate() == 0


def test_the_number_of_partitions_is_changed_while_events_arrive(stage: Stage) -> None:
    """Fails without the gate: events on new topics are evaluated before older ones on the old topic."""
    only = stage.start(1)
    source = Source(stage.cloud)
    try:
        source.more()
        listeners = [stage.start(2), stage.start(2)]
        assert only.terminate() == 0
        wait_until(lambda: len(stage.owners(2)) == 2, what="one partition for each listener")
        source.more()
        source.count = 2
        source.more(12)
        only = stage.start(1)
        for listener in listeners:
            assert listener.terminate() == 0
        source.more()
        source.count = 1
        source.more(12)
    finally:
        source.stop()
    stage.assert_each_once_and_in_order(source)
