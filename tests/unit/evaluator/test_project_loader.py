"""Background loading of large projects, on an in-process bus with the real server, handler and cache."""

from __future__ import annotations

import dataclasses
import threading
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import cast

import oslo_messaging
import pytest
from oslo_config import cfg

from eventalarm import bus
from eventalarm.backoff import Backoff
from eventalarm.evaluator.batch import BatchReport
from eventalarm.evaluator.cached_project import Need
from eventalarm.evaluator.definitions_cache import LARGE
from eventalarm.evaluator.engine import Engine
from eventalarm.evaluator.handler import BatchHandler
from eventalarm.evaluator.listener import BatchServer
from eventalarm.evaluator.options import ListenerOptions
from eventalarm.evaluator.outage import DatabaseOutage
from eventalarm.evaluator.project_loader import ProjectLoader
from eventalarm.exceptions import Retryable
from eventalarm.metrics import Metrics
from eventalarm.model import AlarmDefinition, Event
from eventalarm.standalone import inprocess
from eventalarm.storage.alarms import AlarmReader
from tests.support.builders import definition, event_body, rule
from tests.support.definitions_cache import RELOAD, Cached, Source
from tests.support.helpers import wait_until

TIMEOUT = 20.0


class Gate(Source):
    """A source that returns a large project only once its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []
        self.reading = threading.Semaphore(0)
        self.open = threading.Event()
        self.broken: Exception | None = None

    def of_project(self, project_id: str) -> Iterable[AlarmDefinition]:
        self.read.append(project_id)
        found = super().of_project(project_id)
        if self.has_more_than(project_id, LARGE):
            self.reading.release()
            assert self.open.wait(TIMEOUT)
            if self.broken is not None and threading.current_thread().name.startswith("project-loader"):
                raise self.broken
        return found


class Stage:
    """A small listener that records events instead of evaluating them."""

    def __init__(self) -> None:
        cached = Cached(max_alarms=100_000)
        self.source = Gate()
        cached.cache._source = cast(AlarmReader, self.source)
        self.cache = cached.cache
        self._clock = cached.source
        self.done: list[str] = []
        self._more = threading.Condition()
        self.topic = uuid.uuid4().hex
        conf = cfg.ConfigOpts()
        conf([])
        self.transport = oslo_messaging.get_notification_transport(conf, inprocess.URL)
        self.loader = ProjectLoader(self.cache, lambda project: self.server.resume(project))  # noqa: PLW0108 - made below
        metrics = Metrics()
        outage = DatabaseOutage(metrics, threading.Event(), Backoff(0.01, 0.01))
        handler = BatchHandler(cast(Engine, self), metrics, outage, loader=self.loader)
        self.server = BatchServer(self.transport, ListenerOptions(self.topic, "test", 100), handler)
        self.server.begin()

    def large(self, *projects: str) -> None:
        """Give each of *projects* enough alarms to be loaded in the background."""
        for name in projects:
            self.source.put(
                *(definition(f"{name}-{n}", rule("*"), project_id=name) for n in range(LARGE + 1))
            )

    def grow_old(self) -> None:
        """Advance the clock until all loaded projects are due for a reload."""
        self._clock.seconds = self.source.seconds = self.source.seconds + RELOAD

    def projects(self, event: Event) -> tuple[str, ...]:
        """Return the project of the event's owner."""
        return (event.first_trait(("project_id",)),)

    def retry_locked(self) -> None:
        """Do nothing: no alarm is locked here."""

    def forget_unfinished(self) -> None:
        """Do nothing: no event is left here."""

    def process(self, events: Sequence[Event]) -> BatchReport:
        """Look up the projects as the engine does, and record the events."""
        self.cache.refresh()
        for event in events:
            self.cache.project(event.first_trait(("project_id",)))
        with self._more:
            self.done.extend(event.message_id for event in events)
            self._more.notify_all()
        return BatchReport()

    def send(self, *names: str) -> None:
        """Publish an event for each name; its project comes before the dash."""
        for name in names:
            body = event_body("x", message_id=name, project=name.partition("-")[0])
            bus.send(self.transport, topic=self.topic, exchange="test", event_type="x", payload=[body])

    def await_done(self, names: Collection[str]) -> None:
        """Wait until these, and only these, are done."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.done) >= len(names), TIMEOUT), self.done
            assert set(self.done) == set(names)
            assert len(self.done) == len(names)

    def close(self) -> None:
        """Stop as the listener does."""
        self.loader.stop()
        self.server.stop()
        self.server.wait()


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.source.open.set()
    made.close()


def test_events_of_others_do_not_wait_for_a_large_project(stage: Stage) -> None:
    stage.large("big")
    stage.send("big-1", "small-1")
    assert stage.source.reading.acquire(timeout=TIMEOUT)
    stage.send("big-2", "small-2", "small-3")
    stage.await_done(["small-1", "small-2", "small-3"])
    stage.source.open.set()
    stage.await_done(["small-1", "small-2", "small-3", "big-1", "big-2"])
    stage.send("big-3")
    stage.await_done(["small-1", "small-2", "small-3", "big-1", "big-2", "big-3"])
    assert [name for name in stage.done if name.startswith("big")] == ["big-1", "big-2", "big-3"]


def test_large_projects_are_loaded_before_their_first_event(stage: Stage) -> None:
    """The largest first, but a project that events wait for comes before all others."""
    stage.large("big", "next", "last")
    stage.source.put(definition("one-more", rule("*"), project_id="big"))
    stage.source.put(definition("a", rule("*"), project_id="small"))
    stage.loader.preload()
    assert stage.source.reading.acquire(timeout=TIMEOUT)
    stage.send("big-1", "last-1", "small-1")
    stage.await_done(["small-1"])
    stage.source.open.set()
    stage.await_done(["small-1", "big-1", "last-1"])
    wait_until(lambda: not any(stage.cache.need(p) is Need.LOAD for p in ("big", "next", "last")))
    # The small one is read alone if its event is in a batch by itself.
    assert [one for one in stage.source.read if one != "small"] == ["big", "last", "next"], "each once"


def test_preloading_is_limited_to_the_size_of_the_cache(stage: Stage) -> None:
    stage.large("big", "next")
    stage.cache._options = dataclasses.replace(stage.cache._options, max_alarms=LARGE + 2)
    assert stage.cache.large_projects() == ["big"]


def test_without_a_database_at_the_start_the_first_event_loads(stage: Stage) -> None:
    stage.source.open.set()
    stage.large("big")
    stage.source.failing = {"crowded_projects"}
    stage.loader.preload()
    stage.send("big-1")
    stage.await_done(["big-1"])


def test_a_defect_of_preloading_is_logged(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    def broken(number: int) -> list[tuple[str, int]]:
        raise RuntimeError("a defect")

    stage.source.crowded_projects = broken  # type: ignore[method-assign]
    stage.loader.preload()
    wait_until(lambda: "a defect" in caplog.text)


def test_a_small_project_is_loaded_in_passing(stage: Stage) -> None:
    stage.source.put(definition("a", rule("*"), project_id="small"))
    stage.send("small-1")
    stage.await_done(["small-1"])
    assert stage.source.calls.count("of_project") == 1


def test_the_small_projects_of_a_batch_are_loaded_together(stage: Stage) -> None:
    """One statement for all; a project that is loading in the background is not read again."""
    stage.large("big")
    stage.send("big-1")
    assert stage.source.reading.acquire(timeout=TIMEOUT)
    names = [f"p{number}-1" for number in range(20)]
    bodies = [event_body("x", message_id=one, project=one.partition("-")[0]) for one in ("big-2", *names)]
    bus.send(stage.transport, topic=stage.topic, exchange="test", event_type="x", payload=bodies)
    stage.source.open.set()
    stage.await_done(["big-1", "big-2", *names])
    assert stage.source.calls.count("of_projects") == 1
    assert stage.source.read == ["big"]


def test_a_project_is_reloaded_beside_its_events(stage: Stage) -> None:
    """Also while the loader is busy."""
    stage.source.put(definition("a", rule("*"), project_id="small"))
    stage.send("small-1")
    stage.await_done(["small-1"])
    stage.grow_old()
    stage.large("big")
    stage.send("big-1")
    assert stage.source.reading.acquire(timeout=TIMEOUT)
    stage.send("small-2", "small-3")
    stage.await_done(["small-1", "small-2", "small-3"])
    assert stage.source.calls.count("of_project") == 2, "one for each project, and none since"
    stage.source.open.set()
    wait_until(lambda: stage.source.calls.count("of_project") == 3, what="the small one loaded anew")


def test_waiting_events_are_evaluated_before_a_stop(stage: Stage) -> None:
    """One is being loaded when the stop begins, one is waiting; the events of both must be evaluated."""
    stage.large("big", "next")
    stage.send("big-1", "next-1")
    assert stage.source.reading.acquire(timeout=TIMEOUT)
    stage.send("small-1")
    stage.await_done(["small-1"])
    closing = threading.Thread(target=stage.close)
    closing.start()
    stage.source.open.set()
    closing.join(TIMEOUT)
    stage.await_done(["small-1", "big-1", "next-1"])


def test_a_project_that_cannot_be_loaded_aside_is_left_to_the_evaluator(stage: Stage) -> None:
    stage.source.broken = RuntimeError("a defect")
    stage.source.open.set()
    stage.large("big")
    stage.send("big-1", "big-2")
    stage.await_done(["big-1", "big-2"])
    assert stage.done == ["big-1", "big-2"]


def test_events_wait_on_while_the_database_is_away(stage: Stage) -> None:
    stage.source.broken = Retryable("away")
    stage.source.open.set()
    stage.large("big")
    stage.send("big-1")
    for _ in range(3):
        assert stage.source.reading.acquire(timeout=TIMEOUT)
    assert stage.done == []
    stage.source.broken = None
    stage.await_done(["big-1"])
