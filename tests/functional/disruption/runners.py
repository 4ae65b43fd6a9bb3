"""The runners: an open-loop event load that tells stories, and users who create and edit alarms meanwhile."""

from __future__ import annotations

import datetime
import heapq
import itertools
import queue
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import workload
from eventalarm import bus
from eventalarm.exceptions import PublishError
from tests.functional.disruption.stories import CHANGED, RAISED, Sent, Story

# Returns those of the message ids whose transition is committed; an empty set while the database is away.
Committed = Callable[[Collection[str]], set[str]]

SENDERS = 3
RETRY = 0.2
LOOK = 0.25


class Publisher:
    """Threads that put messages on the topic and try again until the broker has confirmed them.

    What is sent again may arrive twice; that is the broker's right and the listeners' business (G2).
    """

    def __init__(self, conf: Any, threads: int = SENDERS) -> None:
        self._group = conf.eventalarm
        self._transport = bus.get_transport(conf)
        self._queue: queue.Queue[list[dict[str, Any]] | None] = queue.Queue()
        self._lock = threading.Lock()
        self.published = self.messages = self.resent = 0
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def put(self, events: list[dict[str, Any]]) -> None:
        """Publish *events* in one message as soon as can be; returns at once."""
        self._queue.put(events)

    @property
    def waiting(self) -> int:
        """How many messages are not sent yet."""
        return self._queue.qsize()

    def _run(self) -> None:
        while (events := self._queue.get()) is not None:
            while not self._sent(events):
                time.sleep(RETRY)

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
        """Send what waits, then end; the broker must be there."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(60)
        self._transport.cleanup()


@dataclass
class Told:
    """How far a story was told: ``step`` is the next one."""

    story: Story
    step: int = 0
    bodies: list[list[dict[str, Any]]] = field(default_factory=list)


class EventLoad(threading.Thread):
    """Tells stories at their moments, whatever comes of them; later steps when earlier ones are committed."""

    def __init__(self, stories: Iterable[Story], publisher: Publisher, committed: Committed) -> None:
        super().__init__(name="event-load", daemon=True)
        self._stories = iter(stories)
        self._publisher = publisher
        self._committed = committed
        self._base = workload.template()
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._awaited: dict[str, Told] = {}
        self.counts = {"doubled messages": 0, "skewed events": 0}
        self.late_by = 0.0

    @property
    def unfinished(self) -> int:
        """How many stories wait for a transition before they can go on."""
        return len(self._awaited)

    def run(self) -> None:
        """Tell everything; called by ``start``."""
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
            pause = self._due[0][0] - time.monotonic() if self._due else LOOK
            time.sleep(max(0.0, min(pause, LOOK)))

    def _at(self, moment: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (moment, next(self._numbers), action))

    def _next_story(self, began: float) -> None:
        story = next(self._stories, None)
        if story is not None:
            self._at(began + story.at, lambda: self._begin(story, began))

    def _begin(self, story: Story, began: float) -> None:
        self._next_story(began)
        told = Told(story)
        self._publish(told)
        for pause in story.repeats:
            for body in told.bodies:
                self._at(time.monotonic() + pause, lambda body=body: self._again(body))  # type: ignore[misc]

    def _again(self, body: list[dict[str, Any]]) -> None:
        self.counts["doubled messages"] += 1
        self._publisher.put(body)

    def _publish(self, told: Told) -> None:
        """Publish the next step of a story, and remember what the one after it waits for."""
        step = told.story.steps[told.step]
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        bodies = [
            workload.body(
                sent.spec, now + datetime.timedelta(seconds=sent.skew, microseconds=number), self._base
            )
            for number, sent in enumerate(step)
        ]
        self.counts["skewed events"] += sum(sent.skew != 0 for sent in step)
        messages = [[body] for body in bodies] if told.story.apart else [bodies]
        told.bodies = told.bodies or messages
        for message in messages:
            self._publisher.put(message)
        told.step += 1
        if told.step < len(told.story.steps):
            self._awaited[step[-1].spec.message_id] = told

    def _go_on(self) -> None:
        for message_id in self._committed(list(self._awaited)):
            self._publish(self._awaited.pop(message_id))


@dataclass(frozen=True)
class Edited:
    """An edit that the API accepted, and the event published after it; a deletion has no ``fields``."""

    alarm_id: str
    kind: str
    fields: dict[str, Any]
    message_id: str


class Users(threading.Thread):
    """Creates alarms through the Aodh API and publishes their event at once, then edits and does so again.

    What the API refuses or leaves open, while its database is away, makes no story: nobody was promised
    anything.
    """

    KINDS = ("rename", "retarget", "disable", "delete", "none", "none")

    def __init__(
        self,
        client: Callable[[str], Any],
        publisher: Publisher,
        committed: Committed,
        *,
        projects: Sequence[str],
        actions: Sequence[str],
        seed: int,
        rate: float,
    ) -> None:
        super().__init__(name="users", daemon=True)
        self._client = client
        self._publisher = publisher
        self._committed = committed
        self._projects = projects
        self._actions = actions
        self._chance = random.Random(f"{seed} users")
        self._rate = rate
        self._base = workload.template()
        self._over = threading.Event()
        self.stories: list[Story] = []
        self.edits: list[Edited] = []
        self.created = self.refused = 0

    def finish(self) -> None:
        """Let the story under way end, then no more."""
        self._over.set()
        self.join(120)

    def run(self) -> None:
        """Work until told to stop; called by ``start``."""
        for number in itertools.count():
            if self._over.wait(self._chance.expovariate(self._rate)):
                return
            self._user(number)

    def _spec(self, number: int) -> workload.AlarmSpec:
        project = self._projects[number % len(self._projects)]
        return workload.AlarmSpec(project, workload.resource_name(number, "user's vm"), repeat=True)

    def _user(self, number: int) -> None:
        spec = self._spec(number)
        action = f"{self._actions[number % len(self._actions)]}/user/{number}"
        alarm_id = self._create(spec, action)
        if alarm_id is None:
            return
        first, second = self._event(spec), self._event(spec)
        self._publish(first)
        steps = [[Sent(first)]]
        outcome = {first.message_id: frozenset({RAISED})}
        kind = self._chance.choice(self.KINDS)
        edited = None
        if kind != "none" and self._is_committed(first.message_id):
            edited = self._edit(spec.project, alarm_id, kind, f"{action}/moved")
        if edited is not None:
            self.edits.append(Edited(alarm_id, kind, edited, second.message_id))
            self._publish(second)
            steps.append([Sent(second)])
            if kind in ("rename", "retarget"):
                outcome[second.message_id] = frozenset({RAISED, CHANGED})
        self.stories.append(Story(f"user {kind}", 0.0, spec, steps, [outcome], named=alarm_id))

    def _create(self, spec: workload.AlarmSpec, action: str) -> str | None:
        alarm = {
            "name": f"fault of {spec.resource}",
            "type": "event",
            "severity": "low",
            "event_rule": spec.rule(),
            "alarm_actions": [action],
            "repeat_actions": True,
        }
        try:
            alarm_id = str(self._client(spec.project).alarm.create(alarm)["alarm_id"])
        except Exception:  # noqa: BLE001 - whatever a client library makes of an API without database
            self.refused += 1
            return None
        self.created += 1
        return alarm_id

    def _event(self, spec: workload.AlarmSpec) -> workload.EventSpec:
        message_id = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        return workload.EventSpec(spec.project, spec.resource, message_id)

    def _publish(self, event: workload.EventSpec) -> None:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        self._publisher.put([workload.body(event, now, self._base)])

    def _is_committed(self, message_id: str) -> bool:
        while not self._over.wait(LOOK):
            if self._committed([message_id]):
                return True
        return False

    def _edit(self, project: str, alarm_id: str, kind: str, action: str) -> dict[str, Any] | None:
        fields: dict[str, dict[str, Any]] = {
            "rename": {"name": f"renamed {alarm_id}", "severity": "moderate"},
            "retarget": {"alarm_actions": [action]},
            "disable": {"enabled": False},
            "delete": {},
        }
        try:
            alarms = self._client(project).alarm
            if kind == "delete":
                alarms.delete(alarm_id)
            else:
                alarms.update(alarm_id, fields[kind])
        except Exception:  # noqa: BLE001 - as above
            self.refused += 1
            return None
        return fields[kind]
