"""Sampling the monitors, each in a thread of its own so that a slow one delays no other; and the progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from eventalarm.trial.outcome import Watched
from eventalarm.trial.plugins import Monitor, Sample

# Seconds between two lines of progress.
TICK: Final = 2.0


class Sampling:
    """Takes a sample of each monitor once in its interval, until it is stopped."""

    def __init__(self, monitors: Mapping[str, Monitor], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._over = threading.Event()
        self._samples: dict[str, list[Sample]] = {
            name: [] for name, one in monitors.items() if one.interval is not None
        }
        self._threads = [
            threading.Thread(target=self._run, args=(name, monitors[name]), name=name, daemon=True)
            for name in self._samples
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, patience: float = 30.0) -> None:
        """End, and wait for the samples that are being taken; may be called more than once."""
        self._over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(patience)

    def watched(self) -> tuple[Watched, ...]:
        """Return the samples so far."""
        return tuple(Watched(name, tuple(samples)) for name, samples in self._samples.items())

    def summary(self) -> str:
        """Return the last result of each monitor, for a line of progress."""
        last = {name: samples[-1] for name, samples in self._samples.items() if samples}
        return ", ".join(f"{name} {'ok' if one.is_ok else 'FAILS'}" for name, one in last.items())

    def _run(self, name: str, monitor: Monitor) -> None:
        interval = monitor.interval or 1.0
        due = time.monotonic()
        while True:
            began = self._clock()
            try:
                found = monitor.sample()
            except Exception as exc:  # noqa: BLE001 - a monitor that fails has found that nothing is well
                found = Sample(began, self._clock() - began, False, f"{type(exc).__name__}: {exc}")
            if found is not None:
                self._samples[name].append(found)
            due = max(due + interval, time.monotonic())
            if self._over.wait(due - time.monotonic()):
                return


class Ticker(threading.Thread):
    """Shows progress every *pause* seconds, until it is finished."""

    def __init__(self, say: Callable[[str], None], about: Callable[[], str], pause: float = TICK) -> None:
        super().__init__(name="progress", daemon=True)
        self._say = say
        self._about = about
        self._pause = pause
        self._over = threading.Event()

    def finish(self) -> None:
        """End; may be called more than once, also before ``start``."""
        self._over.set()

    def run(self) -> None:
        """Show progress; called by ``start``."""
        while not self._over.wait(self._pause):
            self._say(self._about())
