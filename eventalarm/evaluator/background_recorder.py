"""Records events that concern no alarm, on a thread of its own: it drops events rather than delays them."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import queue
import threading
from collections.abc import Collection, Iterable
from typing import Final

from eventalarm.evaluator.evaluation import Match
from eventalarm.exceptions import Retryable
from eventalarm.metrics import Metrics
from eventalarm.model import Event
from eventalarm.storage import recorded_events
from eventalarm.storage.column_types import to_key
from eventalarm.storage.database import Database
from eventalarm.storage.events import EventTexts

LOG = logging.getLogger(__name__)

# Seconds between two writes, and after a failure of the database; events and bytes of one write.
PAUSE: Final = 0.5
BATCH: Final = 500
BATCH_SIZE: Final = 4 * 1024 * 1024
PROJECT_LENGTH: Final = 128


@dataclasses.dataclass(frozen=True, slots=True)
class RecorderOptions:
    """What is recorded; ``everything``: also events without an owner. Sizes are in bytes.

    ``backlog`` is the maximum number of events that wait to be written.
    """

    resource_traits: tuple[str, ...]
    everything: bool
    backlog: int
    max_event_size: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Waiting:
    """An event of a project, evaluated at ``now``."""

    event: Event
    project_id: str
    event_time: datetime.datetime
    now: datetime.datetime


class BackgroundRecorder:
    """Writes events in batches; :meth:`note` never waits for the database."""

    def __init__(self, database: Database, options: RecorderOptions, metrics: Metrics) -> None:
        self._database = database
        self._options = options
        self._metrics = metrics
        self._waiting: queue.Queue[_Waiting] = queue.Queue(options.backlog)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Write what waits, for up to *timeout* seconds, and stop the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def note(
        self,
        found: Iterable[tuple[Event, tuple[str, ...], datetime.datetime]],
        matches: Iterable[Match],
        now: datetime.datetime,
    ) -> None:
        """Record events, except for those of *matches*, which their transaction records.

        :param found: each event with the projects that it may concern and its time.
        :param now: the time of the evaluation, aware UTC.
        """
        matched = {(id(one.subject.event), one.project_id) for one in matches}
        dropped = 0
        for event, projects, event_time in found:
            for project_id in self._recorded(projects):
                if (id(event), project_id) in matched:
                    continue
                try:
                    self._waiting.put_nowait(_Waiting(event, project_id, event_time, now))
                except queue.Full:
                    dropped += 1
        if dropped:
            self._metrics.count("recorded_events", dropped, outcome="dropped")

    def _recorded(self, projects: tuple[str, ...]) -> Collection[str]:
        """Return the projects for which an event that concerns *projects* is recorded."""
        if "" not in projects:
            # No project has a longer id.
            return [one for one in projects if len(one) <= PROJECT_LENGTH]
        if not self._options.everything:
            return ()
        # Without an infrastructure project only administrators see it.
        return [one for one in projects if one] or [""]

    def _run(self) -> None:
        while not (self._stopping.wait(PAUSE) and self._waiting.empty()):
            while batch := self._take():
                if not self._write(batch):
                    return

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while len(batch) < BATCH:
            try:
                batch.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return batch

    def _write(self, batch: list[_Waiting]) -> bool:
        """Write a batch, again and again while the database fails; return False if stopped meanwhile."""
        texts = EventTexts(self._options.max_event_size)
        rows = {}
        for one in batch:
            row = recorded_events.event_row(
                one.event,
                one.project_id,
                texts(one.event),
                managed_object=to_key(one.event.first_trait(self._options.resource_traits)),
                event_time=one.event_time,
                now=one.now,
            )
            rows[row["record_id"]] = row
        while True:
            try:
                recorded_events.add(self._database, rows, BATCH_SIZE)
            except Retryable as exc:
                LOG.debug("Recorded events are not written yet: %s", exc)
                if self._stopping.wait(PAUSE):
                    self._metrics.count("recorded_events", len(batch), outcome="dropped")
                    return False
            except Exception:
                if len(batch) > 1:
                    # Only what the database refuses is dropped.
                    half = len(batch) // 2
                    return self._write(batch[:half]) and self._write(batch[half:])
                LOG.exception("Event %s cannot be recorded", batch[0].event.message_id[:255])
                self._metrics.count("recorded_events", outcome="dropped")
                return True
            else:
                self._metrics.count("recorded_events", len(batch), outcome="written")
                return True
