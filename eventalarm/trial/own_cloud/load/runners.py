"""The open-loop load: it plays stories by messages that are sent until they are confirmed."""

from __future__ import annotations

import contextlib
import datetime
import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventalarm import bus
from eventalarm.exceptions import PublishError
from eventalarm.trial.history.records import Event, History, Publish
from eventalarm.trial.own_cloud.load import workload
from eventalarm.trial.own_cloud.load.stories import Story

# Returns those of the message ids whose transition is committed; an empty set while the database is away.
Committed = Callable[[Collection[str]], set[str]]

SENDERS = 3
# Seconds between two attempts to publish, and between two looks for what was committed.
RETRY = 0.2
LOOK = 0.25


class Publisher:
    """Threads that put messages on the topic and try again until the broker has confirmed them.

    A message that is sent again may arrive twice, which listeners must handle (G2). Each one is added to
    *history*.
    """

    def __init__(self, conf: Any, history: History, threads: int = SENDERS) -> None:
        self._group = conf.eventalarm
        self._history = history
        self._transport = bus.get_transport(conf)
        self._queue: queue.Queue[list[dict[str, Any]] | None] = queue.Queue()
        self._lock = threading.Lock()
        self.published = self.messages = self.resent = 0
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def put(self, events: list[dict[str, Any]]) -> None:
        """Publish *events* in one message as soon as possible, without waiting for it."""
        self._queue.put(events)

    @property
    def waiting(self) -> int:
        """The number of messages that are not sent yet."""
        return self._queue.qsize()

    def _run(self) -> None:
        while (events := self._queue.get()) is not None:
            began = time.time()
            while not self._sent(events):
                time.sleep(RETRY)
            self._history.add(Publish(began, time.time(), tuple(map(recorded, events))))

    def _sent(self, events: list[dict[str, Any]]) -> bool:
        try:
            bus.send(
                self._transport,
                topic=self._group.topic,
                exchange=self._group.exchange,
                event_type="event",
                payload=events,
            )
        except PublishError:
            with self._lock:
                self.resent += 1
            return False
        with self._lock:
            self.published += len(events)
            self.messages += 1
        return True

    def close(self) -> None:
        """Send what waits, then end; the broker must be available."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(60)
        self._transport.cleanup()


def recorded(body: Mapping[str, Any]) -> Event:
    """Return the record of an event; a time that cannot be read is unknown."""
    traits = {name: value for name, _, value in body["traits"]}
    generated = None
    with contextlib.suppress(ValueError, OverflowError):
        moment = datetime.datetime.fromisoformat(body["generated"])
        generated = moment.replace(tzinfo=datetime.UTC).timestamp()
    project, resource, state = (str(traits.get(name)) for name in ("project_id", "instance_id", "state"))
    return Event(body["message_id"], project, resource, state, generated)


@dataclass
class StoryInProgress:
    """The progress of a story: ``stage`` is the index of the next one to publish."""

    story: Story
    stage: int = 0
    bodies: list[list[dict[str, Any]]] = field(default_factory=list)


class EventLoad(threading.Thread):
    """Plays stories at their scheduled times; later stages once the earlier ones are committed."""

    def __init__(self, stories: Iterable[Story], publisher: Publisher, committed: Committed) -> None:
        super().__init__(name="event-load", daemon=True)
        self._stories = iter(stories)
        self._publisher = publisher
        self._committed = committed
        self._base = workload.template()
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._awaited: dict[str, StoryInProgress] = {}
        self._over = threading.Event()
        self.counts = {"doubled messages": 0, "skewed events": 0}
        self.late_by = 0.0

    def finish(self) -> None:
        """Begin no further story."""
        self._over.set()

    def run(self) -> None:
        """Play all stories; called by ``start``."""
        began = time.monotonic()
        self._next_story(began)
        look = 0.0
        while self._due or self._awaited:
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                self.late_by = max(self.late_by, now - self._due[0][0])
                heapq.heappop(self._due)[2]()
            if self._awaited and now >= look:
                self._go_on()
                look = time.monotonic() + LOOK
            # The pace of the load: until the next message is due.
            pause = self._due[0][0] - time.monotonic() if self._due else LOOK
            time.sleep(max(0.0, min(pause, LOOK)))

    def _at(self, moment: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (moment, next(self._numbers), action))

    def _next_story(self, began: float) -> None:
        story = next(self._stories, None)
        if story is not None:
            self._at(began + story.at, lambda: self._begin(story, began))

    def _begin(self, story: Story, began: float) -> None:
        if self._over.is_set():
            return
        self._next_story(began)
        played = StoryInProgress(story)
        self._publish(played)
        for pause in story.repeats:
            for body in played.bodies:
                self._at(time.monotonic() + pause, lambda body=body: self._again(body))  # type: ignore[misc]

    def _again(self, body: list[dict[str, Any]]) -> None:
        self.counts["doubled messages"] += 1
        self._publisher.put(body)

    def _publish(self, played: StoryInProgress) -> None:
        """Publish the next stage of a story, and remember what the following one waits for."""
        stage = played.story.stages[played.stage]
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        bodies = [
            workload.body(
                sent.spec, now + datetime.timedelta(seconds=sent.skew, microseconds=number), self._base
            )
            for number, sent in enumerate(stage)
        ]
        self.counts["skewed events"] += sum(sent.skew != 0 for sent in stage)
        messages = [[body] for body in bodies] if played.story.apart else [bodies]
        played.bodies = played.bodies or messages
        for message in messages:
            self._publisher.put(message)
        played.stage += 1
        if played.stage < len(played.story.stages):
            self._awaited[stage[-1].spec.message_id] = played

    def _go_on(self) -> None:
        for message_id in self._committed(list(self._awaited)):
            self._publish(self._awaited.pop(message_id))
