"""Threads for blocking calls of an event loop, and the thread that runs an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar

from eventalarm.exceptions import DeliveryError

# Seconds without a call after which a thread ends. Threads are kept because what belongs to a thread, such as
# its database connection, is expensive to create.
REST: Final = 10.0

P = ParamSpec("P")
T = TypeVar("T")


class LoopThread:
    """An event loop in a separate daemon thread, which runs one coroutine and ends with it.

    :param name: the name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._running = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def started(self) -> bool:
        """Whether ``start`` was called."""
        return self._thread is not None

    def start(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start the thread with *main*; returns when the loop is running."""
        self._thread = threading.Thread(target=self._serve, args=(main,), name=self._name, daemon=True)
        self._thread.start()
        self._running.wait()

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Let the loop call *function* soon; does nothing while it is not running. From any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(function, *args)

    def join(self) -> None:
        """Wait until the thread, if it was started, has ended."""
        if self._thread is not None:
            self._thread.join()

    def _serve(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._loop = loop = asyncio.new_event_loop()
        loop.call_soon(self._running.set)
        try:
            loop.run_until_complete(main())
        finally:
            loop.close()


class Threads:
    """Runs at most *limit* blocking calls at once, each in a thread that does not outlive the process.

    With a *timeout*, in seconds, a caller waits at most that long for a free thread and again for the result.
    A call that exceeds it occupies its thread until it returns, because a thread cannot be cancelled.
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

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *function* in a thread; return its result or raise its exception.

        :raises DeliveryError: ``timeout`` if it did not return in time; ``busy``, which is not an attempt,
            if no thread became free.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._places.acquire()
        except TimeoutError as exc:
            raise DeliveryError(
                "busy", f"calls that do not return hold every thread of {self._name}", attempted=False
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
            with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits any more
                loop.call_soon_threadsafe(self._ended, answer, outcome, error)

        self._hand_over(call)
        try:
            async with asyncio.timeout(self._timeout):
                result: T = await answer
                return result
        except TimeoutError as exc:
            if answer.done() and not answer.cancelled():
                raise  # the call's own error
            raise DeliveryError("timeout", f"no answer within {self._timeout} s") from exc

    async def settle(self, seconds: float) -> None:
        """Wait up to *seconds* until no call is in progress, including those whose callers timed out."""
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
