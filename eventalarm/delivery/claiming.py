"""The periodic queries of a worker: its lease, due deliveries, and leased ones that it does not hold."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import uuid
from typing import Final

from oslo_log import log

from eventalarm.delivery import retry
from eventalarm.delivery.calls import Calls
from eventalarm.delivery.intake import Intake
from eventalarm.delivery.lease import SPREAD, between_polls
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.worker_state import WorkerState
from eventalarm.storage.leases import RenewalWatch, SeenLeases
from eventalarm.trace import LastEvent

LOG = log.getLogger(__name__)

# Maximum number of deliveries of one claim.
CLAIM: Final = 500
# Seconds until the next poll without a valid lease, or without room.
BLOCKED_PAUSE: Final = 0.1
# How many times strays are searched for after the database failed.
LOOKS: Final = 3
# The share of the time that searches for lost deliveries may take: they read what nobody can remove from the
# indexes while a transaction holds a snapshot, for as long as that lasts.
SEARCHING: Final = 0.05
# How many times as long as usual the pause between two of them may become.
LONGEST: Final = 10


def seldom(pause: float, took: float) -> float:
    """Return the seconds until the next search: *pause*, or more if the last one *took* long."""
    return min(max(pause, took / SEARCHING), LONGEST * pause)


class LeaseKeeper:
    """Registers this process as a worker, and renews its lease every third of the lease's length.

    :param host: the name of this host, which is shown to operators.
    :param last_event: the time of the last event is stored with each renewal.
    """

    def __init__(
        self,
        state: WorkerState,
        intake: Intake,
        calls: Calls,
        host: str,
        last_event: LastEvent,
    ) -> None:
        self._outbox = state.outbox
        self._threads = state.threads
        self._lease = state.lease
        self._intake = intake
        self._calls = calls
        self._writes = state.writes
        self._host = host
        self._last_event = last_event

    async def run_once(self) -> float:
        """Register or renew; return the seconds until the next renewal is due.

        :raises eventalarm.exceptions.Retryable: when the database failed.
        """
        asked_at = self._lease.now()
        owner, lasting = self._lease.owner, self._lease.seconds_for_others
        if owner is None:
            owner = str(uuid.uuid4())
            await self._threads.run(self._outbox.register, owner, self._host, lasting)
            self._lease.begin(owner, asked_at)
        elif await self._threads.run(self._outbox.renew, owner, lasting, self._last_event.last):
            self._lease.renewed(asked_at)
        else:
            LOG.warning("The lease was not renewed in time; unsent deliveries return to the outbox")
            self._lease.lost()
            self._writes.give_back(owner, self._intake.clear())
            return 0.0
        self._calls.start_ready()
        return self._lease.seconds / 3

    async def release(self) -> None:
        """Unregister the worker; other workers may claim what is still leased to it."""
        if self._lease.owner is not None:
            await self._threads.run(self._outbox.release, self._lease.owner)


class Claimer:
    """Polls the outbox for due deliveries, and for those of workers whose lease has ended."""

    def __init__(
        self,
        state: WorkerState,
        intake: Intake,
        options: DeliveryOptions,
    ) -> None:
        self._state = state
        self._intake = intake
        self._options = options
        between = max(between_polls(options.poll_interval), state.lease.seconds / 3)
        self._watch = RenewalWatch(state.lease.seconds_for_others, between)
        self._next_sweep = state.lease.now()
        # The workers whose lease has ended, with the number of their last renewal.
        self._ended: dict[str, int] = {}

    async def run_once(self) -> float:
        """Claim what there is room for; return the seconds until the next poll.

        :raises eventalarm.exceptions.Retryable: when the database failed.
        """
        now = self._state.lease.now()
        owner = self._state.lease.current()
        pause = self._options.poll_interval
        limit = min(CLAIM, self._state.scheduler.room())
        if owner is None or limit < 1:
            return min(pause, BLOCKED_PAUSE)
        orphans = self._state.lease.may_take_over()
        if not orphans:
            self._ended = {}
        began = self._state.lease.now()
        found = await self._state.threads.run(
            self._state.outbox.claim,
            owner,
            limit,
            orphans=orphans,
            ended=self._ended,
            seen=functools.partial(self._see, owner) if orphans else None,
            overlooked=now >= self._next_sweep,
            longest_wait=retry.longest_wait(self._options),
            avoid=self._intake.overflow.places(),
            avoid_projects=self._intake.overflow.projects(),
            max_bytes=self._state.scheduler.held.free_bytes(),
        )
        if now >= self._next_sweep and len(found) < limit:
            self._next_sweep = now + seldom(self._options.lease, self._state.lease.now() - began)
        more = self._intake.accept(owner, found) == limit or bool(self._ended)
        return 0.0 if more else random.uniform((1 - SPREAD) * pause, (1 + SPREAD) * pause)  # noqa: S311

    def _see(self, owner: str, seen: SeenLeases) -> None:
        """Note the other workers whose lease has ended; the next claim takes over their deliveries."""
        renewals = {name: one.renewals for name, one in seen.leases.items() if name != owner}
        # Each by its own length: hosts may differ in their options.
        lasting = {name: one.seconds for name, one in seen.leases.items()}
        self._ended = self._watch.look(renewals, seen.asked_at, lasting, answered_at=seen.answered_at)


class StrayFinder:
    """Finds deliveries that are leased to this process but not held by it, and returns them to the outbox.

    Their transaction was committed, but the answer to COMMIT was lost with the connection, or ``submit`` was
    never called. It looks once per lease, and repeatedly after the database failed; a delivery is returned
    when two looks in a row found it.
    """

    def __init__(
        self,
        state: WorkerState,
        options: DeliveryOptions,
    ) -> None:
        self._state = state
        self._options = options
        self._strays: set[str] = set()
        self._looks = 0
        self._took = 0.0
        self._soon = asyncio.Event()

    def look_soon(self) -> None:
        """Look at once, and twice more: the database failed."""
        self._looks = LOOKS
        self._soon.set()

    async def run_once(self) -> float:
        """Wait until it is time to look, and look; return the seconds to wait before the next call.

        :raises eventalarm.exceptions.Retryable: when the database failed.
        """
        if not self._looks:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seldom(self._options.lease, self._took)):
                    await self._soon.wait()
            self._soon.clear()
        owner = self._state.lease.current()
        if owner is not None:
            began = self._state.lease.now()
            leased = await self._state.threads.run(self._state.outbox.leased_to, owner)
            self._took = self._state.lease.now() - began
            strays = {name for name in leased if not self._state.scheduler.holds(name)}
            self._state.writes.give_back(owner, strays & self._strays)
            self._strays = strays - self._strays
            self._looks = max(0, self._looks - 1)
        return self._options.poll_interval
