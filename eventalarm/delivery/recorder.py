"""Writes results of attempts and returned deliveries to the outbox, in batches."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

from eventalarm.delivery.calls import Calls
from eventalarm.delivery.intake import Intake
from eventalarm.delivery.queues import Call
from eventalarm.delivery.worker_state import BATCH, Due, WorkerState
from eventalarm.exceptions import Retryable
from eventalarm.log_fields import fields
from eventalarm.model import UNFINISHED, DeliveryResult

LOG = logging.getLogger(__name__)


class Recorder:
    """Writes pending results to the outbox, and claims the deliveries that waited behind finished ones.

    :param overflow_delay: seconds until a delivery that found no room in memory is due again.
    """

    def __init__(
        self,
        state: WorkerState,
        calls: Calls,
        intake: Intake,
        overflow_delay: float,
    ) -> None:
        self._outbox = state.outbox
        self._threads = state.threads
        self._lease = state.lease
        self._writes = state.writes
        self._scheduler = state.scheduler
        self._calls = calls
        self._intake = intake
        self._overflow_delay = overflow_delay

    async def run_once(self) -> float:
        """Wait for something to write, write one batch; return 0.0, the pause before the next call.

        :raises eventalarm.exceptions.Retryable: when the database failed; the results stay pending.
        """
        await self._writes.gathered()
        await self._write()
        return 0.0

    async def finish(self) -> None:
        """Write everything that is pending; raises the same errors as :meth:`run_once`."""
        while not self._writes.empty:
            await self._write()

    async def _write(self) -> None:
        await self._write_results()
        await self._write_returns()
        await self._claim_successors()
        self._writes.written()

    async def _write_results(self) -> None:
        batch = self._writes.results[:BATCH]
        by_owner: dict[str, list[tuple[Call, DeliveryResult]]] = defaultdict(list)
        for item in batch:
            by_owner[item[0].owner].append(item)
        for owner, items in by_owner.items():
            await self._write_owned(owner, items)
        # Results that were added meanwhile are behind the batch.
        del self._writes.results[: len(batch)]
        self._calls.forget(call for call, _ in batch)
        finished = (call for call, result in batch if result.state not in UNFINISHED)
        self._writes.order_keys.update(call.delivery.order_key for call in finished)

    async def _write_owned(self, owner: str, items: Sequence[tuple[Call, DeliveryResult]]) -> None:
        try:
            results = [result for _, result in items]
            known_as = self._lease.owner
            await self._threads.run(self._outbox.record, owner, results, known_as)
            if self._lease.owner != known_as:
                # The lease ended during the write: this process may have claimed them again under its new id.
                await self._threads.run(self._outbox.record, owner, results, self._lease.owner)
        except Retryable:
            raise
        except Exception:
            if len(items) == 1:
                # Another process sends it again after this one has ended, which is better than to stop here.
                name = items[0][1].delivery_id
                LOG.exception(
                    "The result of delivery %s cannot be recorded", name, extra=fields(delivery_id=name)
                )
                return
            for item in items:
                await self._write_owned(owner, [item])

    async def _write_returns(self) -> None:
        returns = self._writes.returns
        for owner, due in list(returns):
            ids = returns[owner, due]
            some = set(sorted(ids)[:BATCH])
            delay = self._overflow_delay if due is Due.LATER else 0.0
            deferred = due is Due.DEFERRED
            await self._threads.run(self._outbox.hand_back, owner, some, delay, deferred=deferred)
            ids -= some
            if not ids:
                del returns[owner, due]

    async def _claim_successors(self) -> None:
        owner = self._lease.current()
        if owner is None:
            # The next process that polls claims them.
            self._writes.order_keys.clear()
            return
        keys = set(sorted(self._writes.order_keys)[:BATCH])
        if keys:
            free_bytes = self._scheduler.held.free_bytes()
            # Before the claim, which does not see what is committed, and submitted here, while it runs.
            self._writes.order_keys -= keys
            try:
                claimed = await self._threads.run(self._outbox.claim_next, owner, keys, free_bytes)
            except BaseException:
                self._writes.order_keys |= keys
                raise
            for item in claimed:
                self._writes.claimed(item.order_key)
            self._intake.accept(owner, claimed)
