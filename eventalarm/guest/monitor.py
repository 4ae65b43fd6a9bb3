"""The loop of the monitor: a task for each guest, one for the listing of domains, and one for the beat."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import logging
from collections.abc import Callable, Mapping
from typing import Final

from eventalarm.backoff import Uniform
from eventalarm.guest.agent import Challenger
from eventalarm.guest.events_of_libvirt import DomainEvent
from eventalarm.guest.guests import Guests, Watched
from eventalarm.guest.hypervisor import Hypervisor, HypervisorUnavailable
from eventalarm.guest.protocol import Silent
from eventalarm.guest.reporter import Report, Reporter
from eventalarm.guest.reports import beat

LOG = logging.getLogger(__name__)

# Seconds between two attempts to reach a hypervisor that did not answer.
RETRY: Final = 2.0
# The least number of seconds between two challenges of a guest, whatever it does to its channel.
LEAST_PAUSE: Final = 1.0
# Seconds between two reports of progress to the service manager.
PROGRESS_PERIOD: Final = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class MonitorOptions:
    """Seconds; *host* is the name of this host."""

    host: str
    startup_grace: float
    refresh_interval: float
    beat_interval: float


class Monitor:
    """Watches the guests of a hypervisor until it is stopped.

    :param uniform: returns a random number between two.
    :param progress: called every few seconds, and with True once the guests are known.
    """

    def __init__(
        self,
        hypervisor: Hypervisor,
        challenger: Challenger,
        guests: Guests,
        reporter: Reporter,
        options: MonitorOptions,
        *,
        now: Callable[[], datetime.datetime],
        uniform: Uniform,
        progress: Callable[[bool], None],
    ) -> None:
        self._hypervisor = hypervisor
        self._challenger = challenger
        self._guests = guests
        self._reporter = reporter
        self._options = options
        self._now = now
        self._uniform = uniform
        self._progress = progress
        self._problem = "the guests have not been listed yet"
        self._dropped = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._list_again = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Watch until *stopping* is set.

        :raises Exception: whatever ends a task unexpectedly: the service is to be restarted then.
        """
        self._hypervisor.subscribe(self._happened)
        try:
            async with asyncio.TaskGroup() as group:
                services = [
                    group.create_task(one)
                    for one in (self._refresh(group), self._beats(), self._report_progress())
                ]
                await stopping.wait()
                for task in (*services, *self._tasks):
                    task.cancel()
        finally:
            self._hypervisor.close()

    def _happened(self, event: DomainEvent) -> None:
        if self._guests.happened(event):
            self._list_again.set()

    async def _refresh(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._list_again.clear()
            try:
                domains = await self._hypervisor.domains()
            except HypervisorUnavailable as exc:
                if self._problem != str(exc):
                    LOG.warning("Guests cannot be watched: %s", exc)
                self._problem = str(exc)
                await asyncio.sleep(RETRY)
                continue
            for one in self._guests.refresh(domains):
                self._start(group, one)
            if self._problem:
                LOG.info("Watching %d guests", len(self._guests.watched))
                self._problem = ""
                self._progress(True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.refresh_interval):
                    await self._list_again.wait()

    def _start(self, group: asyncio.TaskGroup, one: Watched) -> None:
        task = group.create_task(self._watch(one))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, one: Watched) -> None:
        """Challenge a guest while it is watched; the first challenges are spread over the period."""
        loop = asyncio.get_running_loop()
        await self._pause(one, self._uniform(0.0, one.settings.period))
        while self._guests.watched.get(one.settings.instance_id) is one:
            begun = loop.time()
            if one.running and one.settings.has_agent:
                await self._challenge(one)
            await self._pause(one, self._until_next(one, loop.time() - begun))
            await asyncio.sleep(min(LEAST_PAUSE, one.settings.timeout) - (loop.time() - begun))

    def _until_next(self, one: Watched, taken: float) -> float:
        """Return the seconds until the next challenge: few if the guest has missed one and is not lost."""
        if one.state.undecided(one.settings.misses):
            return max(0.0, one.settings.timeout - taken)
        return self._uniform(0.9, 1.0) * one.settings.period

    async def _pause(self, one: Watched, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await one.wake.wait()
        one.wake.clear()

    async def _challenge(self, one: Watched) -> None:
        silence = ""
        health = None
        try:
            health = await self._challenger.challenge(one.settings, suspect=one.state.suspect)
        except Silent as exc:
            silence = str(exc)
        except HypervisorUnavailable as exc:
            # Says nothing about the guest; the listing reports it.
            LOG.debug("Guest %s was not challenged: %s", one.settings.instance_id, exc)
            return
        # Outside the block, in which each log message would be followed by the exception.
        if silence:
            self._guests.missed(one, silence, self._options.startup_grace)
        else:
            self._guests.answered(one, health)

    async def _beats(self) -> None:
        while True:
            body = beat(self._options.host, self._now(), self._counts(), self._problem)
            self._reporter.report(Report(beat=body))
            await asyncio.sleep(self._options.beat_interval)
            if self._dropped < self._reporter.dropped and not self._reporter.waiting:
                self._dropped = self._reporter.dropped
                self._guests.resend()

    def _counts(self) -> Mapping[str, int]:
        watched = self._guests.watched.values()
        return {
            "guests": len(watched),
            "lost": sum(one.lost for one in watched),
            "waiting_events": self._reporter.waiting,
            "dropped_events": self._reporter.dropped,
        }

    async def _report_progress(self) -> None:
        while True:
            self._progress(False)
            await asyncio.sleep(PROGRESS_PERIOD)
