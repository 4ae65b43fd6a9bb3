"""The delivery worker of one process: a thread with an event loop that sends what the outbox leased to us."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from oslo_log import log

from eventalarm.backoff import Backoff, Uniform
from eventalarm.delivery import retry
from eventalarm.delivery.attempt import Attempt
from eventalarm.delivery.batching import Batching, BatchWindows
from eventalarm.delivery.lease import SPREAD, ElapsedTime, Lease, between_looks, term
from eventalarm.delivery.loops import repeat
from eventalarm.delivery.names import PROJECT
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.overflow import Overflow
from eventalarm.delivery.recorder import Recorder
from eventalarm.delivery.scheduler import Call, Scheduler
from eventalarm.delivery.senders.base import Metrics, NoMetrics, Sender
from eventalarm.delivery.threads import Threads
from eventalarm.exceptions import Retryable
from eventalarm.model import Delivery, DeliveryResult
from eventalarm.storage.outbox import Outbox
from eventalarm.storage.watch import RenewalWatch

LOG = log.getLogger(__name__)

# A call that took longer than this does not count as prompt, see scheduler.
PROMPT: Final = 1.0
CLAIM: Final = 500
DATABASE_THREADS: Final = 4
LAST_WORDS: Final = 5.0
FIRST_RETRY: Final = 0.2
SLOWEST_RETRY: Final = 2.0
LOOKS: Final = 3


class DeliveryWorker:
    """Sends deliveries at once, in order, each destination apart; retries go through the outbox.

    ``start`` returns at once, also while the database is down, and raises what *make_sender* raises.
    ``owner``, ``submit`` and ``stop`` may be called from any thread. What is leased to us and not sent is
    never lost: it is handed back, or others find it when our lease has ended.
    """

    def __init__(
        self,
        outbox: Outbox,
        make_sender: Callable[[], Sender],
        options: DeliveryOptions,
        *,
        host: str = "",
        metrics: Metrics | None = None,
        monotonic: Callable[[], float] | None = None,
        uniform: Uniform = random.uniform,
        new_id: Callable[[], object] = uuid.uuid4,
        last_event: Callable[[], datetime.datetime | None] = lambda: None,
        when_troubled: Callable[[], None] = lambda: None,
    ) -> None:
        self._outbox = outbox
        self._make_sender = make_sender
        self._options = options
        self._host, self._metrics = host, metrics or NoMetrics()
        # Of our own lease as much time has passed as any clock says, of the others' as little.
        self._monotonic = monotonic = monotonic or ElapsedTime()
        self._uniform, self._new_id = uniform, new_id
        self._last_event, self._when_troubled = last_event, when_troubled
        self._term = term(options.lease, options.poll_interval)
        self._lease = Lease(self._term)
        looks = max(between_looks(options.poll_interval), self._term / 3)
        self._watch: RenewalWatch[str] = RenewalWatch(self._term, looks)
        self._scheduler = Scheduler(options.max_in_memory, options.concurrency, options.max_in_memory_bytes)
        self._overflow = Overflow(self._scheduler)
        self._threads = Threads("outbox", DATABASE_THREADS)
        self._database = self._threads.run
        self._recorder = self._make_recorder(options)
        self._batching = self._make_batching(options)
        self._strays, self._looks = set[str](), 0
        self._next_sweep = monotonic()
        self._recover = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()
        self._running, self._stopping = threading.Event(), threading.Event()
        self._stop = asyncio.Event()
        self._grace = 0.0
        self._thread: threading.Thread | None = None

    def _make_recorder(self, options: DeliveryOptions) -> Recorder:
        return Recorder(
            self._outbox,
            self._lease,
            self._database,
            recorded=self._forget,
            claimed=self._accept,
            overflow_delay=2 * options.poll_interval,
            free_bytes=self._scheduler.held.free_bytes,
            monotonic=self._monotonic,
        )

    def _make_batching(self, options: DeliveryOptions) -> Batching | None:
        if options.pack_window <= 0 or options.mode != "direct":
            return None
        return Batching(
            BatchWindows(options.pack_window, options.pack_limit),
            self._scheduler,
            self._lease,
            self._outbox,
            self._database,
            dispatch=self._dispatch,
            give_back=self._recorder.give_back,
            monotonic=self._monotonic,
        )

    def start(self) -> None:
        """Start the thread; returns when it takes submissions."""
        self._sender = self._make_sender()
        self._attempt = Attempt(self._sender, self._options, self._metrics, self._uniform)
        self._thread = threading.Thread(target=self._serve, name="worker", daemon=True)
        self._thread.start()
        self._running.wait()

    @property
    def owner(self) -> str | None:
        """Under which id to enqueue now; None while we hold no valid lease: then let anybody send."""
        return None if self._stopping.is_set() else self._lease.current(self._monotonic())

    def submit(self, owner: str, deliveries: Sequence[Delivery], waiting: Iterable[str] = ()) -> None:
        """Send what was just committed as leased to *owner*, which is what ``owner`` said before.

        *waiting* are the order keys of what the same transaction left pending: their turn may have come
        while it was not committed yet, when nobody could see them.
        """
        self._call_soon(self._submitted, owner, list(deliveries), set(waiting))

    def stop(self, grace: float) -> None:
        """Finish what is under way within *grace* seconds, hand back the rest, end the thread.

        What is still under way then is broken off and handed back too, so others will send it again. Five
        seconds more may pass while results are recorded.
        """
        if self._thread is not None and not self._stopping.is_set():
            self._grace = grace
            self._stopping.set()
            self._call_soon(self._stop.set)
        if self._thread is not None:
            self._thread.join()

    def call_soon(self, function: Callable[[], object]) -> None:
        """Have the event loop call *function* soon; nothing happens while there is no loop."""
        self._call_soon(function)

    # ---- the thread and its loops

    def _call_soon(self, function: Callable[..., object], *args: object) -> None:
        with contextlib.suppress(RuntimeError, AttributeError):  # not started, or the loop is closed
            self._loop.call_soon_threadsafe(function, *args)

    def _serve(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.call_soon(self._running.set)
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self._loop.close()

    async def _main(self) -> None:
        backoff = Backoff(FIRST_RETRY, min(SLOWEST_RETRY, self._term / 3), self._uniform)
        batching = (self._batching.step,) if self._batching is not None else ()
        heartbeat, *others = [
            asyncio.create_task(repeat(step, troubled=self._troubled, backoff=backoff))
            for step in (self._keep_lease, self._poll, self._recorder.step, self._find_strays, *batching)
        ]
        await self._stop.wait()
        await _end(others)
        if self._calls:
            await asyncio.wait(self._calls, timeout=self._grace)
        await _end(self._calls)
        try:
            async with asyncio.timeout(LAST_WORDS):
                await self._last_words()
        except (Retryable, TimeoutError):
            LOG.warning("The outbox is out of reach; others take over when the lease has ended")
        await _end([heartbeat])
        # What was broken off still uses its connection, which the owner of the database may close next.
        await self._threads.settle(LAST_WORDS)
        await self._sender.close()

    async def _last_words(self) -> None:
        while not self._recorder.empty:
            await self._recorder.write()
        if self._lease.owner is not None:
            await self._database(self._outbox.release, self._lease.owner)

    def _troubled(self) -> None:
        self._lease.troubled(self._monotonic())
        self._looks = LOOKS
        self._recover.set()
        self._when_troubled()

    # ---- the steps

    async def _keep_lease(self) -> float:
        asked_at = self._monotonic()
        owner, seconds = self._lease.owner, self._term
        if owner is None:
            owner = str(self._new_id())
            await self._database(self._outbox.register, owner, self._host, seconds)
            self._lease.begin(owner, asked_at)
        elif await self._database(self._outbox.renew, owner, seconds, self._last_event()):
            self._lease.renewed(asked_at)
        else:
            LOG.warning("The lease was not renewed in time; what is not sent yet goes back to the outbox")
            self._lease.lost()
            unsent = [delivery for call in self._scheduler.clear() for delivery in call.deliveries]
            unsent += self._batching.clear() if self._batching is not None else []
            self._recorder.give_back(owner, [delivery.delivery_id for delivery in unsent])
            return 0.0
        self._pump()
        return seconds / 3

    async def _poll(self) -> float:
        now = self._monotonic()
        owner = self._lease.current(now)
        pause = self._options.poll_interval
        limit = min(CLAIM, self._scheduler.room())
        if owner is None or limit < 1:
            return min(pause, 0.1)
        orphans = self._lease.may_take_over(now)
        found = await self._database(
            self._outbox.claim,
            owner,
            limit,
            orphans=orphans,
            ended=await self._ended(owner) if orphans else {},
            overlooked=now >= self._next_sweep,
            longest_wait=retry.longest_wait(self._options),
            avoid=self._overflow.places(),
            avoid_projects=self._overflow.projects(),
            max_bytes=self._scheduler.held.free_bytes(),
        )
        if now >= self._next_sweep and len(found) < limit:
            self._next_sweep = now + self._options.lease
        more = self._accept(owner, found) == limit
        return 0.0 if more else self._uniform((1 - SPREAD) * pause, (1 + SPREAD) * pause)

    async def _ended(self, owner: str) -> dict[str, int]:
        """Return the other workers whose lease has ended, with the number of their last renewal."""
        now = time.monotonic()
        renewals: dict[str, int] = await self._database(self._outbox.renewals)
        renewals.pop(owner, None)
        return {name: renewals[name] for name in self._watch.look(renewals, now)}

    async def _find_strays(self) -> float:
        """Hand back what is leased to us but not in our hands, when seen so twice.

        It was committed, but the answer to COMMIT was lost with the connection, or ``submit`` never came.
        Looked for once in a lease, and soon after the database failed.
        """
        if not self._looks:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.lease):
                    await self._recover.wait()
            self._recover.clear()
        owner = self._lease.current(self._monotonic())
        if owner is not None:
            leased = await self._database(self._outbox.leased_to, owner)
            strays = {name for name in leased if not self._scheduler.holds(name)}
            self._recorder.give_back(owner, strays & self._strays)
            self._strays = strays - self._strays
            self._looks = max(0, self._looks - 1)
        return self._options.poll_interval

    # ---- deliveries in and out

    def _submitted(self, owner: str, deliveries: Sequence[Delivery], waiting: set[str]) -> None:
        self._accept(owner, deliveries)
        self._recorder.look_after(waiting)

    def _accept(self, owner: str, deliveries: Sequence[Delivery]) -> int:
        """Take what is leased to us as far as there is room; return how many that were."""
        taken = 0
        for item in deliveries:
            call = Call(owner, item, self._sender.destination(item))
            if owner != self._lease.owner or self._stopping.is_set():
                self._recorder.give_back(owner, [item.delivery_id])
            elif (
                self._scheduler.holds(item.delivery_id) or self._held_back(call) or self._scheduler.put(call)
            ):
                taken += 1
            else:
                self._recorder.give_back(owner, [item.delivery_id], later=True)
                self._overflow.note(call)
        self._pump()
        return taken

    def _held_back(self, call: Call) -> bool:
        return self._batching is not None and self._batching.hold(call)

    def _dispatch(self, call: Call) -> None:
        """Send what is leased to us, as soon as its destination's turn comes."""
        owner, ids = call.owner, [delivery.delivery_id for delivery in call.deliveries]
        if owner != self._lease.owner or self._stopping.is_set():
            self._recorder.give_back(owner, ids)
        elif not self._scheduler.put(call):
            self._recorder.give_back(owner, ids, later=True)
        self._pump()

    def _forget(self, calls: Iterable[Call]) -> None:
        for call in calls:
            self._scheduler.forget(call)
        self._pump()

    def _pump(self) -> None:
        """Start every call that may start now."""
        while not self._stopping.is_set() and self._lease.current(self._monotonic()) is not None:
            call = self._scheduler.take()
            if call is None:
                return
            task = asyncio.create_task(self._call(call))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    async def _call(self, call: Call) -> None:
        PROJECT.set(call.delivery.project_id)
        started = self._monotonic()
        results: list[DeliveryResult] | None = []
        try:
            if await self._may_begin(call):
                if call.more:
                    results = await self._attempt.send_batch(call.deliveries)
                else:
                    results = [await self._attempt(call.delivery)]
        finally:
            took = self._monotonic() - started
            self._scheduler.finished(call, prompt=took < PROMPT)
        if results is None and self._batching is not None:
            self._batching.refused(call)
        elif not results:
            self._scheduler.forget(call)
            self._recorder.give_back(call.owner, [delivery.delivery_id for delivery in call.deliveries])
        else:
            self._metrics.observe("delivery_seconds", took)
            for delivery, result in zip(call.deliveries, results, strict=True):
                self._recorder.add(Call(call.owner, delivery, call.destination), result)
        self._pump()

    async def _may_begin(self, call: Call) -> bool:
        """Return True when the lease holds; what a process was lost with before is marked first."""
        if not self._lease.holds(call.owner, self._monotonic()):
            return False
        if not any(delivery.losses for delivery in call.deliveries):
            return True
        ids = [delivery.delivery_id for delivery in call.deliveries]
        try:
            marked = await self._database(self._outbox.begin, call.owner, ids)
        except Retryable:
            return False
        return marked and self._lease.holds(call.owner, self._monotonic())


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    ended = list(tasks)
    for task in ended:
        task.cancel()
    await asyncio.gather(*ended, return_exceptions=True)
