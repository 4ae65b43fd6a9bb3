"""The benchmark's own child processes: the webhook sink and the load generator, seen from the parent."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

import requests
import sqlalchemy as sa

from benchmarks import sink as sink_process
from eventalarm.trial.own_cloud.load.workload import AlarmSpec, EventSpec, Hit
from eventalarm.trial.own_cloud.programs import children
from eventalarm.trial.own_cloud.progress import Progress

ROOT = pathlib.Path(__file__).parents[1]
LOOK = 1.0


class Child(children.Child):
    """A module of the benchmarks, which are not installed."""

    directory = ROOT


@dataclass(frozen=True)
class Arrival:
    """One webhook; ``moment`` in monotonic seconds."""

    moment: float
    alarm_id: str
    message_id: str
    delivery_id: str

    @property
    def hit(self) -> Hit:
        """The alarm and the event that it reports."""
        return self.alarm_id, self.message_id


class Sink:
    """The webhook consumer; ``bases`` are the URLs, one for each destination, to which a path is added."""

    def __init__(self, destinations: int) -> None:
        self._child = Child("benchmarks.sink", str(destinations))
        port = int(self._child.read())
        self.bases = [f"http://{host}:{port}/hook" for host in sink_process.addresses(destinations)]
        self._url = f"http://{sink_process.HOST}:{port}"
        self._session = requests.Session()

    def reset(self) -> None:
        """Discard all recorded arrivals."""
        self._session.post(self._url + sink_process.RESET, timeout=30)

    def wait(self, count: int, timeout: float, progress: Progress) -> int:
        """Return the number of arrivals once there are *count* of them or *timeout* seconds have passed."""
        left = timeout
        while True:
            look = max(0.0, min(LOOK, left))
            answer = self._session.get(
                f"{self._url}/wait", params={"count": str(count), "timeout": str(look)}, timeout=look + 30
            )
            arrived = int(answer.json()["count"])
            left -= look
            if arrived >= count or left <= 0:
                return arrived
            progress.tick(f"{arrived:,} of {count:,} webhooks")

    def results(self) -> list[Arrival]:
        """Return all arrivals in order."""
        return [Arrival(*one) for one in self._session.get(f"{self._url}/results", timeout=120).json()]

    def close(self) -> None:
        """End the process."""
        self._session.close()
        self._child.close()


@dataclass(frozen=True)
class Sent:
    """When each event was due and when it was sent, in monotonic seconds."""

    due: list[float]
    sent: list[float]


class Distance:
    """A relay to the database at *url* that delays each round trip by *milliseconds*."""

    def __init__(self, url: str, milliseconds: float) -> None:
        made = sa.make_url(url)
        self._child = Child("benchmarks.distance", str(made.port), str(milliseconds))
        self.url = made.set(port=int(self._child.read())).render_as_string(hide_password=False)

    def close(self) -> None:
        """End the process, and with it every connection through it."""
        self._child.close()


class Load:
    """The load generator; every event is encoded before the first one is sent."""

    def __init__(self, url: str) -> None:
        self._child = Child("benchmarks.load", url)

    def prepare(self, events: Sequence[EventSpec], exchange: str, topic: str, partitions: int = 1) -> None:
        """Encode *events* for the *partitions* of *topic*; they are sent by the next call."""
        rows = [[e.project, e.resource, e.message_id, e.state] for e in events]
        self._child.ask(verb="prepare", events=rows, exchange=exchange, topic=topic, partitions=partitions)

    def burst(self) -> Sent:
        """Send all events as fast as the broker accepts them; return once it has confirmed them all."""
        answer = self._child.ask(verb="burst")
        return Sent(answer["sent"], answer["sent"])

    def paced(self, rate: float, seed: int) -> Sent:
        """Send *rate* events a second at random moments (a Poisson stream), regardless of their outcome."""
        return Sent(**self._child.ask(verb="paced", rate=rate, seed=seed))

    def created(self, rate: float, seed: int, database: str, alarms: Sequence[AlarmSpec]) -> Sent:
        """As :meth:`paced`, with the alarm of each event created in *database* right before it is sent."""
        rows = [[one.project, one.resource, one.action] for one in alarms]
        return Sent(**self._child.ask(verb="created", rate=rate, seed=seed, database=database, alarms=rows))

    def close(self) -> None:
        """End the process."""
        self._child.close()


class Churn:
    """The process that edits alarms, at *rate* edits a second."""

    def __init__(self, database: str, alarms: Sequence[AlarmSpec], rate: float) -> None:
        self._child = Child("benchmarks.churner", database, str(rate))
        self._child.ask(verb="prepare", alarm_ids=[one.alarm_id for one in alarms])

    def start(self) -> None:
        """Begin to edit."""
        self._child.ask(verb="start")

    def stop(self) -> float:
        """Stop editing; return the number of edits committed per second."""
        return float(self._child.ask(verb="stop")["rate"])

    def close(self) -> None:
        """End the process."""
        self._child.close()
