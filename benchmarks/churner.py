"""Edits alarms at a fixed rate, as users of an API would, in its own process.

``python -m benchmarks.churner DATABASE RATE`` obeys one JSON request per line: prepare, start, stop.
"""

from __future__ import annotations

import datetime
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from aodh.storage.sqlalchemy import models

from eventalarm.trial.own_cloud.load import workload

ALARM = models.Alarm.__table__
THREADS = 8


def edits(number: int) -> dict[str, Any]:
    """Return what edit *number* changes besides the timestamp: nothing, the rule, or ``enabled``."""
    kind = number % 3
    if kind == 1:
        resource = workload.resource_name(number, "edited")
        return {"rule": workload.AlarmSpec("", resource).rule()}
    return {"enabled": number // 3 % 2 == 0} if kind == 2 else {}


class Churner:
    """Threads that edit alarms, each with its own connection."""

    def __init__(self, url: str, rate: float) -> None:
        self._engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", pool_size=THREADS)
        self._rate = rate
        self._alarm_ids: list[str] = []
        self._numbers = itertools.count()
        self._done = [0] * THREADS
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._began = 0.0

    def prepare(self, alarm_ids: list[str]) -> dict[str, Any]:
        """Set the alarms to edit, in turn."""
        self._alarm_ids = alarm_ids
        return {}

    def start(self) -> dict[str, Any]:
        """Begin."""
        self._stopping.clear()
        self._done = [0] * THREADS
        self._began = time.monotonic()
        self._threads = [threading.Thread(target=self._edit, args=(n,)) for n in range(THREADS)]
        for thread in self._threads:
            thread.start()
        return {}

    def stop(self) -> dict[str, Any]:
        """Stop; return the edits committed per second."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        return {"rate": sum(self._done) / (time.monotonic() - self._began)}

    def _edit(self, thread: int) -> None:
        due = self._began + thread / self._rate
        with self._engine.connect() as connection:
            while not self._stopping.wait(max(0.0, due - time.monotonic())):
                number = next(self._numbers)
                which = self._alarm_ids[number % len(self._alarm_ids)]
                now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
                change = ALARM.update().where(ALARM.c.alarm_id == which)
                connection.execute(change.values(timestamp=now, **edits(number)))
                self._done[thread] += 1
                due += THREADS / self._rate


def main() -> None:
    """Obey requests from standard input until it closes."""
    churner = Churner(sys.argv[1], float(sys.argv[2]))
    verbs: dict[str, Callable[..., dict[str, Any]]] = {
        "prepare": churner.prepare,
        "start": churner.start,
        "stop": churner.stop,
    }
    for line in sys.stdin:
        request = json.loads(line)
        answer = verbs[request.pop("verb")](**request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
