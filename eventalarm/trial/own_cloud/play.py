"""A stage for scenarios: paced events, their latency, and waiting until everything is idle."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import random
import time
import uuid
from collections.abc import Iterator, Sequence

from eventalarm.trial.history.availability import Availability, availability
from eventalarm.trial.history.check import check
from eventalarm.trial.history.records import Delivery, Receipt, Run
from eventalarm.trial.history.verdict import Verdict
from eventalarm.trial.own_cloud.collect import collect
from eventalarm.trial.own_cloud.consumers import ANSWERS, OK
from eventalarm.trial.own_cloud.load import workload
from eventalarm.trial.own_cloud.load.runners import Publisher
from eventalarm.trial.own_cloud.load.workload import AlarmSpec, EventSpec
from eventalarm.trial.own_cloud.monitors import depth
from eventalarm.trial.own_cloud.progress import Progress, wait
from eventalarm.trial.own_cloud.stage import Ground, Stage, epoch

SETTLE = 60.0
HISTORY = "history.jsonl"


@dataclasses.dataclass
class Finding:
    """The result of a scenario: figures by name, what is wrong, and a row for each kind of disruption."""

    name: str
    figures: dict[str, float]
    wrong: list[str]
    rows: list[Availability] = dataclasses.field(default_factory=list)


class Play:
    """A stage and everything that the scenarios do on it."""

    def __init__(
        self,
        ground: Ground,
        directory: pathlib.Path,
        consumers: Sequence[str],
        progress: Progress,
        seed: int,
        *,
        listeners: int = 1,
        broker: str = "",
        **delivery: float,
    ) -> None:
        self._path = directory / HISTORY
        self.stage = Stage(
            ground,
            directory,
            delivery,
            listeners=listeners,
            consumers=consumers,
            linked=False,
            broker=broker,
        )
        self.progress = progress
        self._seed = seed
        self.chance = random.Random(f"{seed} scenario")
        self.published: dict[str, float] = {}
        self.receipts: list[Receipt] = []
        self._base = workload.template()
        self._projects = [workload.project_name(number, "scenario") for number in range(3)]
        self.publisher = Publisher(self.stage.cloud.conf, self.stage.history, threads=2)

    def alarms(self, consumer: str, count: int) -> list[AlarmSpec]:
        """Return *count* inserted alarms that call *consumer*."""
        base = self.stage.actions[consumer]
        specs = list(workload.spread(self._projects, count, [base], label=consumer))
        self.stage.insert([(spec, False) for spec in specs])
        return specs

    def event(self, spec: AlarmSpec) -> EventSpec:
        """Return a fault of the instance of an alarm."""
        message_id = str(uuid.UUID(int=self.chance.getrandbits(128), version=4))
        return EventSpec(spec.project, spec.resource, message_id)

    def fire(self, sources: Sequence[tuple[float, Sequence[AlarmSpec]]], seconds: float) -> set[str]:
        """Publish events for alarms of each source at its rate per second; return the ids."""
        began = time.monotonic()
        moments = sorted(
            (moment, number)
            for number, (rate, _) in enumerate(sources)
            for moment in self._poisson(rate, seconds)
        )
        ids = set()
        for moment, number in moments:
            # The pace of the load.
            time.sleep(max(0.0, began + moment - time.monotonic()))
            event = self.event(self.chance.choice(sources[number][1]))
            self.publish(event)
            if not number:
                ids.add(event.message_id)
        return ids

    def publish(self, *events: EventSpec) -> None:
        """Publish events now, in one message."""
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        self.published |= {event.message_id: epoch() for event in events}
        self.publisher.put([workload.body(event, now, self._base) for event in events])

    def _poisson(self, rate: float, seconds: float) -> Iterator[float]:
        moment = self.chance.expovariate(rate)
        while moment < seconds:
            yield moment
            moment += self.chance.expovariate(rate)

    def _receive(self) -> None:
        self.receipts += self.stage.consumers.results()

    def verdict(
        self, name: str, *, ignored: str = "", unreliable: Sequence[str] = (), skew: float = 0.0
    ) -> Verdict:
        """Write the history, and return the verdict on it, once all work is done.

        :param ignored: a project whose alarms, which others created, are not part of the history.
        :param unreliable: the consumers where deliveries may be given up, or still be waiting.
        :param skew: seconds by which the clocks of listeners and databases were wrong.
        """
        self._receive()
        history = self.stage.history
        urls = tuple(self.stage.actions[one] for one in unreliable)
        history.add(Run(name, self._seed, urls, skew))
        collect(self.stage, ignored)
        owed = {one.delivery_id for one in history.of(Delivery)}
        history.add(*(one for one in self.receipts if not ignored or one.delivery_id in owed))
        history.write(self._path)
        return check(history)

    def rows(self, verdict: Verdict) -> list[Availability]:
        """Return the table of service availability, once there is a *verdict* on the history."""
        return availability(self.stage.history, verdict)

    def accepted(self) -> dict[str, float]:
        """Return when the webhook of each event was first accepted, by message id."""
        self._receive()
        found: dict[str, float] = {}
        for one in self.receipts:
            if one.status == ANSWERS[OK][0]:
                found.setdefault(one.message_id, one.began)
        return found

    def latencies(self, ids: set[str]) -> list[float]:
        """Return the seconds from publishing to the webhook, once all of *ids* arrived that are not late."""

        self.arrived(ids)
        came = self.accepted()
        return [came[one] - self.published[one] for one in ids & came.keys()]

    def arrived(self, ids: set[str], timeout: float = SETTLE) -> None:
        """Wait until the webhook of each event has been accepted, except of those that are late.

        The database is asked for these only when no webhook has come since the last look: such a query would
        disturb what is measured.
        """
        left: set[str] = set()

        def arrived() -> bool:
            before = len(left)
            left.clear()
            left.update(ids - self.accepted().keys())
            if before == len(left):
                left.difference_update(self.stage.late(left))
            return not left

        wait(arrived, timeout, self.progress, lambda: f"{len(left):,} webhooks", pause=0.5)

    def idle(self, what: str, timeout: float = SETTLE, *, withdrawn: str = "") -> None:
        """Wait until queue and outbox are empty; remove waiting deliveries of the project *withdrawn*."""

        def idle() -> bool:
            if withdrawn:
                self.stage.withdraw(withdrawn)
            return not self.publisher.waiting and not depth(self.stage) and not self.stage.unfinished()

        wait(
            idle,
            timeout,
            self.progress,
            lambda: f"{what}: outbox {self.stage.unfinished():,}",
            pause=0.2,
        )

    def close(self) -> None:
        """End the process."""
        self.publisher.close()
        self.stage.close()
