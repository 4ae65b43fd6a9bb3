"""Stores the circuits of a worker, learns those of others, sends probes, and releases what waited."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from typing import Final

from eventalarm.delivery import retry
from eventalarm.delivery.circuit_board import key_of
from eventalarm.delivery.claiming import seldom
from eventalarm.delivery.intake import Intake
from eventalarm.delivery.lease import SPREAD
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.worker_state import Due, WorkerState
from eventalarm.metrics import Metrics
from eventalarm.model import Circuit, CircuitState

# Seconds between two reads of the circuits that changed, and between two reads of all.
READ_EVERY: Final = 5.0
READ_ALL_EVERY: Final = 600.0
# Seconds for which deliveries to a circuit that has closed are still released: another process may defer some
# until it learns that.
RELEASED_FOR: Final = 2 * READ_EVERY
# Seconds between two searches for deferred deliveries whose circuit is not open.
STRAYS_EVERY: Final = 60.0
# The most circuits stored, and probes taken, in one round.
MOST: Final = 20
TOO_OLD: Final = "expired: its destination did not answer"


class CircuitKeeper:
    """Keeps the circuits of this process and of the database in step, once per poll interval.

    A round asks the database for nothing unless a circuit changed or is open, except that it reads the
    changes of other processes every few seconds.
    """

    def __init__(
        self, state: WorkerState, intake: Intake, options: DeliveryOptions, metrics: Metrics
    ) -> None:
        self._board = state.circuits
        self._outbox = state.outbox
        self._store = state.outbox.circuits
        self._threads = state.threads
        self._lease = state.lease
        self._scheduler = state.scheduler
        self._writes = state.writes
        self._intake = intake
        self._options = options
        self._metrics = metrics
        self._newest: datetime.datetime | None = None
        self._next_read = self._next_whole = state.lease.now()
        self._next_strays = self._next_read + STRAYS_EVERY
        # What is still to be done for a circuit that has closed, until when, and for one that is disabled.
        self._releasing: dict[tuple[str, str], tuple[Circuit, float]] = {}
        self._ending: dict[tuple[str, str], Circuit] = {}

    async def run_once(self) -> float:
        """Do what is due; return the seconds until the next round.

        :raises eventalarm.exceptions.Retryable: when the database failed; nothing is forgotten.
        """
        pause = self._options.poll_interval
        if not self._board.enabled:
            return pause
        await self._read()
        await self._save()
        await self._probe()
        more = await self._release() or await self._end()
        await self._release_strays()
        return 0.0 if more else random.uniform((1 - SPREAD) * pause, (1 + SPREAD) * pause)  # noqa: S311

    async def _read(self) -> None:
        now = self._lease.now()
        if now < self._next_read:
            return
        since = None if now >= self._next_whole else self._newest
        found = await self._threads.run(self._store.read, since)
        if since is None:
            self._next_whole = now + READ_ALL_EVERY
        self._newest = found.newest or self._newest
        self._next_read = now + READ_EVERY
        self._closed(self._board.learn(found.circuits))

    async def _save(self) -> None:
        for circuit in self._board.unsaved()[:MOST]:
            stored = await self._threads.run(self._store.write, circuit)
            self._closed(self._board.saved(circuit, stored))
            if stored is not None and stored.state == CircuitState.DISABLED:
                self._ending[key_of(stored)] = stored

    def _closed(self, circuits: Sequence[Circuit]) -> None:
        until = self._lease.now() + RELEASED_FOR
        for circuit in circuits:
            # Enabled before everything that waited was given up.
            self._ending.pop(key_of(circuit), None)
        self._releasing |= {key_of(circuit): (circuit, until) for circuit in circuits}

    async def _probe(self) -> None:
        for circuit in self._board.due()[:MOST]:
            owner = self._lease.usable()
            if owner is None or self._scheduler.room() < 1:
                return
            await self._expire(circuit)
            probing = self._board.probing(circuit)
            probe = await self._threads.run(self._store.take_probe, circuit, probing)
            self._closed(self._board.saved(circuit, probe.stored))
            if probe.seq is not None:
                await self._send(owner, probe.seq)
            elif probe.taken and probe.stored is not None:
                self._board.without_probe(probe.stored)

    async def _send(self, owner: str, seq: int) -> None:
        found = await self._threads.run(self._outbox.claim_deferred, owner, seq)
        for item in found:
            # The result of its last attempt was recorded a moment ago: another probe follows.
            if self._scheduler.holds(item.delivery_id):
                self._writes.give_back(owner, [item.delivery_id], Due.DEFERRED)
                continue
            self._board.send_as_probe(item)
            self._metrics.count("circuit_probes")
            self._intake.accept(owner, [item])

    async def _expire(self, circuit: Circuit) -> None:
        """Give up what waits for a circuit for too long, which only one that is open for as long can have."""
        failing_since, patience = circuit.failing_since, self._options.give_up_after
        oldest = self._board.now() - datetime.timedelta(seconds=patience)
        if failing_since is None or failing_since < oldest:
            await self._give_up(circuit, TOO_OLD, oldest)

    async def _release(self) -> bool:
        """Release some of what waited for each circuit that closed; return True if there may be more."""
        more = False
        for key, (circuit, until) in list(self._releasing.items()):
            released = await self._threads.run(self._store.release, circuit)
            more = more or released > 0
            if not released and self._lease.now() >= until:
                del self._releasing[key]
        return more

    async def _end(self) -> bool:
        """Give up some of what waited for each disabled circuit; return True if there may be more."""
        more = False
        for key, circuit in list(self._ending.items()):
            if await self._give_up(circuit, f"{retry.DISABLED}: {circuit.error}"):
                more = True
            else:
                del self._ending[key]
        return more

    async def _give_up(
        self, circuit: Circuit, error: str, owed_before: datetime.datetime | None = None
    ) -> int:
        given_up = await self._threads.run(self._store.give_up, circuit, error, owed_before)
        if given_up:
            self._metrics.count("deliveries", given_up, result="given_up")
        return given_up

    async def _release_strays(self) -> None:
        began = self._lease.now()
        if began >= self._next_strays:
            await self._threads.run(self._store.release_stray)
            now = self._lease.now()
            self._next_strays = now + seldom(STRAYS_EVERY, now - began)
