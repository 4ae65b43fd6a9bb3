"""Blocking calls beside the event loop: bounded, and a call that never ends takes nothing but its place."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, Final

from eventalarm.exceptions import DeliveryError

# Seconds without a call after which a thread ends. Threads are kept since what belongs to a thread, such as
# its database connection, is dear.
REST: Final = 10.0


class Threads:
    """At most *limit* calls at once, each in a thread that does not outlive the process.

    With a *timeout* a caller waits so many seconds for a place and as many for the answer; a call that
    overran keeps its place until it ends, because nothing can end a thread.
    """

    def __init__(self, name: str, limit: int, timeout: float | None = None, rest: float = REST) -> None:
        self._name = name
        self._timeout = timeout
        self._rest = rest
        self._limit = limit
        self._places = asyncio.Semaphore(limit)
        self._lock = threading.Lock()
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._idle = 0

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what the call returned, or raise what it raised.

        :raises DeliveryError: ``timeout`` when it did not end in time; ``busy``, which is not an attempt,
            when no place became free.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._places.acquire()
        except TimeoutError as exc:
            raise DeliveryError(
                "busy", f"calls that do not end hold every thread of {self._name}", attempted=False
            ) from exc
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def call() -> None:
            outcome, error = None, None
            try:
                outcome = function(*args, **kwargs)
            except BaseException as exc:  # noqa: BLE001 - carried over to the caller
                error = exc
            with self._lock:
                self._idle += 1
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._ended, answer, outcome, error)

        self._hand_over(call)
        try:
            async with asyncio.timeout(self._timeout):
                return await answer
        except TimeoutError as exc:
            if answer.done() and not answer.cancelled():
                raise  # the call's own error
            raise DeliveryError("timeout", f"no answer within {self._timeout} s") from exc

    async def settle(self, seconds: float) -> None:
        """Wait up to *seconds* until no call is under way, also none that nobody waits for any more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for _ in range(self._limit):
                    await self._places.acquire()

    def _hand_over(self, call: Callable[[], None]) -> None:
        with self._lock:
            self._calls.put(call)
            if self._idle:
                self._idle -= 1
                return
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                call = self._calls.get(timeout=self._rest)
            except queue.Empty:
                with self._lock:
                    # A call that was handed over just now counts on this thread.
                    if self._calls.empty():
                        self._idle -= 1
                        return
            else:
                call()

    def _ended(self, answer: asyncio.Future[Any], outcome: Any, error: BaseException | None) -> None:
        self._places.release()
        if answer.done():
            return
        if error is None:
            answer.set_result(outcome)
        else:
            answer.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))
