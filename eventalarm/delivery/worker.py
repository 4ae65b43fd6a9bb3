"""The delivery worker of a process: a thread with an event loop that sends what the outbox leased to it."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from oslo_log import log

from eventalarm.backoff import Backoff
from eventalarm.delivery.attempt import Attempt
from eventalarm.delivery.batches import BatchWindows
from eventalarm.delivery.calls import Calls, cancel
from eventalarm.delivery.circuit_board import CircuitBoard
from eventalarm.delivery.circuit_keeper import CircuitKeeper
from eventalarm.delivery.claiming import Claimer, LeaseKeeper, StrayFinder
from eventalarm.delivery.intake import Batching, Intake
from eventalarm.delivery.lease import Lease, term
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.profiling import ProfileObserver
from eventalarm.delivery.recorder import Recorder
from eventalarm.delivery.scheduler import Scheduler
from eventalarm.delivery.senders.base import Sender
from eventalarm.delivery.threads import LoopThread, Threads
from eventalarm.delivery.worker_state import PendingWrites, WorkerState
from eventalarm.exceptions import Conflict, Retryable
from eventalarm.metrics import Metrics
from eventalarm.model import Delivery
from eventalarm.storage.outbox import Outbox
from eventalarm.trace import LastEvent

LOG = log.getLogger(__name__)

DATABASE_THREADS: Final = 4
# Seconds that recording the last results may take, and then again the cancelled calls to the database.
LAST_WRITES: Final = 5.0
FIRST_RETRY: Final = 0.2
SLOWEST_RETRY: Final = 2.0
# This many conflicts with other transactions in a row do not count as a failure of the database.
CONFLICTS: Final = 5

# Does one round of work and returns the seconds to wait before the next one.
Round = Callable[[], Awaitable[float]]


def _make_state(
    outbox: Outbox, options: DeliveryOptions, now: Callable[[], datetime.datetime]
) -> WorkerState:
    return WorkerState(
        outbox=outbox,
        threads=Threads("outbox", DATABASE_THREADS),
        lease=_make_lease(options),
        scheduler=Scheduler(options.max_in_memory, options.concurrency, options.max_in_memory_bytes),
        # In mode aodh the broker takes each delivery by itself.
        windows=BatchWindows(options.pack_window if options.mode == "direct" else 0.0, options.pack_limit),
        writes=PendingWrites(),
        circuits=CircuitBoard(options.circuit_rules(), now),
    )


def _make_lease(options: DeliveryOptions) -> Lease:
    skew = options.max_clock_skew
    return Lease(term(options.lease, options.poll_interval, skew), max_skew=skew)


class Repeater:
    """Repeats rounds of work while the worker runs, whatever fails in one of them.

    :param on_failure: called when the database failed.
    """

    def __init__(
        self, backoff: Backoff, lease: Lease, strays: StrayFinder, on_failure: Callable[[], None]
    ) -> None:
        self._backoff = backoff
        self._lease = lease
        self._strays = strays
        self._on_failure = on_failure

    async def repeat(self, run_once: Round) -> None:
        """Call *run_once* until this task is cancelled; after an error wait, longer each time."""
        failures = 0
        while True:
            try:
                pause = await run_once()
                failures = 0
            except Exception as exc:  # noqa: BLE001 - reported
                failures += 1
                self._report(exc, failures)
                pause = self._backoff(failures)
            await asyncio.sleep(pause)

    def _report(self, error: Exception, failures: int) -> None:
        if isinstance(error, Conflict) and failures <= CONFLICTS:
            # Another process, or another node of a cluster, was first; the database is reachable.
            LOG.debug("Trying again: %s", error)
        elif isinstance(error, Retryable):
            self._lease.database_failed()
            self._strays.look_soon()
            self._on_failure()
            level = logging.WARNING if failures == 1 else logging.DEBUG
            LOG.log(level, "Cannot reach the outbox: %s", error)
        else:
            LOG.error("Unexpected error in the delivery worker", exc_info=error)


class DeliveryWorker:
    """Sends deliveries immediately, in order, separately for each destination; retries use the outbox.

    ``start`` returns at once, even while the database is unreachable. ``owner``, ``submit``, ``call_soon``
    and ``stop`` may be called from any thread. What is leased to this process and not sent is never lost: it
    is returned to the outbox, or other workers claim it after the lease has ended.

    :param host: the name of this host, which is shown to operators.
    :param last_event: when the last event was received, for the health check.
    :param on_database_failure: called in the event loop each time the database failed.
    :param profiles: receives the times of profiled deliveries that were accepted.
    :param rounds: further work that is repeated in the event loop.
    :param now: the clock by which circuits are probed and deliveries are given up; the database's by default.
    """

    def __init__(
        self,
        outbox: Outbox,
        sender: Sender,
        options: DeliveryOptions,
        *,
        host: str = "",
        metrics: Metrics | None = None,
        last_event: LastEvent | None = None,
        on_database_failure: Callable[[], None] = lambda: None,
        rounds: Sequence[Round] = (),
        profiles: ProfileObserver | None = None,
        now: Callable[[], datetime.datetime] | None = None,
    ) -> None:
        state = self._state = _make_state(outbox, options, now or outbox.circuits.now)
        metrics = metrics or Metrics()
        attempt = Attempt(sender, options, metrics, state.circuits, profiles=profiles)
        self._sender = sender
        self._calls = Calls(state, attempt, metrics)
        batching = Batching(state, self._calls)
        self._intake = Intake(state, sender, batching, self._calls)
        self._keeper = LeaseKeeper(state, self._intake, self._calls, host, last_event or LastEvent())
        self._recorder = Recorder(state, self._calls, self._intake, 2 * options.poll_interval)
        strays = StrayFinder(state, options)
        claimer = Claimer(state, self._intake, options)
        circuits = CircuitKeeper(state, self._intake, options, metrics)
        own_rounds = (
            *(claimer.run_once, self._recorder.run_once, strays.run_once, batching.run_once),
            circuits.run_once,
        )
        self._rounds: tuple[Round, ...] = (*own_rounds, *rounds)
        backoff = Backoff(FIRST_RETRY, min(SLOWEST_RETRY, state.lease.seconds / 3))
        self._repeater = Repeater(backoff, state.lease, strays, on_database_failure)
        self._loop = LoopThread("delivery worker")
        self._stop = asyncio.Event()
        self._grace = 0.0

    def start(self) -> None:
        """Start the thread; returns when it takes submissions."""
        self._loop.start(self._main)

    @property
    def owner(self) -> str | None:
        """The id to enqueue with now; None without a valid lease, when any worker may send."""
        return self._state.lease.usable()

    def submit(self, owner: str, deliveries: Sequence[Delivery], waiting: Iterable[str] = ()) -> None:
        """Send *deliveries*, just committed as leased to *owner*, which is what ``owner`` was before.

        *waiting* are the order keys of deliveries that the same transaction left pending: they may have
        become due before it was committed, when no process could see them.
        """
        self._loop.call_soon(self._intake.submitted, owner, list(deliveries), set(waiting))

    def stop(self, grace: float) -> None:
        """Finish the calls in flight within *grace* seconds, return the rest to the outbox, end the thread.

        Calls that are still in flight then are cancelled and their deliveries returned too, so that other
        workers send them again. Five seconds more may pass while results are recorded.
        """
        if self._loop.started and self._state.lease.close():
            self._grace = grace
            self._loop.call_soon(self._stop.set)
        self._loop.join()

    def call_soon(self, function: Callable[[], object]) -> None:
        """Let the event loop call *function* soon; does nothing while it is not running."""
        self._loop.call_soon(function)

    async def _main(self) -> None:
        heartbeat, *others = [
            asyncio.create_task(self._repeater.repeat(run_once))
            for run_once in (self._keeper.run_once, *self._rounds)
        ]
        await self._stop.wait()
        await cancel(others)
        await self._calls.finish(self._grace)
        try:
            async with asyncio.timeout(LAST_WRITES):
                await self._recorder.finish()
                await self._keeper.release()
        except (Retryable, TimeoutError):
            LOG.warning("Cannot reach the outbox; other workers take over when the lease has ended")
        await cancel([heartbeat])
        # Cancelled calls to the database still use its connections, which its owner may close next.
        await self._state.threads.settle(LAST_WRITES)
        await self._sender.close()
