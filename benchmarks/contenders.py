"""The contenders as processes, which are all started, paused, watched and ended in the same way."""

from __future__ import annotations

import contextlib
import pathlib
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil

from benchmarks import tap
from benchmarks.children import ROOT
from benchmarks.measurement import Contender
from eventalarm.publisher.partitions import all_of
from eventalarm.trial.own_cloud import broker_queue
from eventalarm.trial.own_cloud.progress import NotInTime, Progress, wait
from tests.support.helpers import Process, console_script

START_TIMEOUT = 120.0
STOCK_MEMORY_SHARE = 0.5
LOOK_EVERY = 0.25


class Cut(Exception):
    """A contender exceeded its time or memory limit; its result is what it finished so far."""


@dataclass(frozen=True)
class Recipe:
    """How to start a contender; ``tapped`` are the commands whose acknowledgements count."""

    contender: Contender
    topic: str
    exchange: str
    tapped: tuple[tuple[str, ...], ...]
    others: tuple[tuple[str, ...], ...] = ()
    consumers: int = 1
    partitions: int = 1

    @property
    def topics(self) -> list[str]:
        """The topics of the partitions."""
        return [one.topic(self.topic) for one in all_of(self.partitions)]


def eventalarm(conf_path: pathlib.Path, workers: int, partitions: int = 1) -> Recipe:
    """Return the real ``eventalarm-listener``; with several partitions each has one consumer."""
    command = (console_script("eventalarm-listener"), "--config-file", str(conf_path))
    consumers = workers if partitions == 1 else 1
    return Recipe(
        Contender.EVENTALARM,
        "event_eval",
        "eventalarm",
        (command,),
        consumers=consumers,
        partitions=partitions,
    )


def stock(conf_path: pathlib.Path) -> Recipe:
    """Return the real ``aodh-listener`` and ``aodh-notifier`` with their defaults."""
    listener = (console_script("aodh-listener"), "--config-file", str(conf_path))
    notifier = (console_script("aodh-notifier"), "--config-file", str(conf_path))
    return Recipe(Contender.STOCK, "alarm.all", "aodh", (listener,), (notifier,))


def null(url: str, processes: int, batch_size: int, prefetch: int) -> Recipe:
    """Return as many do-nothing listeners as eventalarm has workers, on the same kind of queue."""
    script = str(ROOT / "benchmarks" / "null_listener.py")
    command = (script, url, "null", "eventalarm", str(batch_size), str(prefetch))
    return Recipe(Contender.FLOOR, "null", "eventalarm", (command,) * processes, consumers=processes)


def relay(url: str, bases: Sequence[str], database_url: str = "") -> Recipe:
    """Return the raw publish → consume → POST; with a database it commits there before each POST."""
    database = ("--database", database_url) if database_url else ()
    command = (str(ROOT / "benchmarks" / "relay.py"), url, "relay", "eventalarm", *bases, *database)
    return Recipe(Contender.FLOOR, "relay", "eventalarm", (command,))


class Running:
    """A running contender."""

    def __init__(self, recipe: Recipe, directory: pathlib.Path, url: str, progress: Progress) -> None:
        self.recipe = recipe
        self._url = url
        self._progress = progress
        self._acks = directory / "acks"
        self._acks.mkdir(parents=True)
        python = (console_script("python"), "-m", "benchmarks.tap", str(self._acks))
        commands = [*((*python, *command) for command in recipe.tapped), *recipe.others]
        self.began = time.monotonic()
        self._processes = [
            Process(command, directory / f"{number}.log", {"PYTHONPATH": str(ROOT)})
            for number, command in enumerate(commands)
        ]

    def await_consumers(self) -> None:
        """Wait until the contender takes messages.

        :raises NotInTime: if it does not within its time.
        """

        def ready() -> bool:
            self.check()
            queues = [broker_queue.look(self._url, topic) for topic in self.recipe.topics]
            return all(queue is not None and queue.consumers >= self.recipe.consumers for queue in queues)

        wait(ready, START_TIMEOUT, self._progress, lambda: f"starting {self.recipe.contender}", pause=0.1)

    def check(self) -> None:
        """Raise RuntimeError when one of its processes ended."""
        for process in self._processes:
            code = process.popen.poll()
            if code is not None:
                raise RuntimeError(f"{self.recipe.contender} ended with {code}:\n{process.text()[-3000:]}")

    def acks(self) -> tap.Acks:
        """Return what the contender has acknowledged so far."""
        return tap.read(self._acks)

    def tree(self) -> list[psutil.Process]:
        """Return all its processes, children included."""
        found: list[psutil.Process] = []
        for process in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                parent = psutil.Process(process.pid)
                found += [parent, *parent.children(recursive=True)]
        return found

    def _signal(self, number: signal.Signals) -> None:
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Suspend all its processes, so that a backlog can build up."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def cpu(self) -> float:
        """Return the processor seconds that it has used."""
        total = 0.0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory(self) -> int:
        """Return the resident memory of its largest process, in bytes."""
        sizes = [0]
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                sizes.append(process.memory_info().rss)
        return max(sizes)

    def close(self) -> None:
        """End the contender and purge the messages that it did not acknowledge."""
        for process in reversed(self._processes):
            process.close()
        for topic in self.recipe.topics:
            broker_queue.purge(self._url, topic)


class Guard:
    """Stops a contender after *seconds* or when it uses half of the machine's memory; for stock Aodh only.

    Sixty-four threads of one aodh-listener may load the same project at once, so memory needs a limit too.
    """

    def __init__(self, running: Running, seconds: float) -> None:
        self._running = running
        self._seconds = seconds
        self._limit = STOCK_MEMORY_SHARE * psutil.virtual_memory().total
        self._began = self._looked = time.monotonic()

    def check(self) -> None:
        """Raise Cut if a limit is exceeded, RuntimeError if the contender died."""
        now = time.monotonic()
        if self._running.recipe.contender is not Contender.STOCK or now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        self._running.check()
        if now - self._began > self._seconds:
            raise Cut(f"stopped after {self._seconds:.0f} s")
        if self._running.memory() > self._limit:
            taken = self._running.memory() / 2**30
            raise Cut(f"stopped at {taken:.1f} GiB of memory after {now - self._began:.0f} s")


def await_acks(running: Running, count: int, guard: Guard, timeout: float, progress: Progress) -> None:
    """Return when *running* has acknowledged *count* messages in all.

    :raises Cut: if the guard stops it.
    :raises NotInTime: after *timeout* seconds.
    """

    def done() -> bool:
        guard.check()
        return running.acks().count >= count

    name = running.recipe.contender
    wait(done, timeout, progress, lambda: f"{name}: {running.acks().count:,} of {count:,} events", pause=0.01)


__all__ = ["Cut", "Guard", "NotInTime", "Recipe", "Running", "await_acks"]
