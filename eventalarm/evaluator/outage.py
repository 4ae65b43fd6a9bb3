"""Repeats work while the database is away, until it succeeds or its batch must be given back."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from eventalarm.backoff import Backoff
from eventalarm.exceptions import Retryable
from eventalarm.metrics import Metrics
from eventalarm.storage.database import Database

LOG = logging.getLogger(__name__)

T = TypeVar("T")


class Blamed(Exception):
    """The database failed several times in a row with the same batch, and answered in between."""

    def __init__(self, error: Retryable) -> None:
        super().__init__(str(error))
        self.error = error


class DatabaseOutage:
    """How one listener behaves while its database is away.

    :param metrics: counts tries as batches with the outcome ``retried``.
    :param stopping: set when the process stops; nothing waits any longer then.
    :param backoff: seconds to wait between tries.
    :param database: None where failures are never blamed on the batch.
    :param hold: seconds after which a batch is given back: the broker cuts off a consumer that keeps messages
        for too long.
    """

    def __init__(
        self,
        metrics: Metrics,
        stopping: threading.Event,
        backoff: Backoff,
        database: Database | None = None,
        *,
        hold: float = math.inf,
    ) -> None:
        self._metrics = metrics
        self._stopping = stopping
        self._backoff = backoff
        self._database = database
        self._hold = hold

    def see_through(self, number: int, work: Callable[[], T], patience: int = 0) -> T | None:
        """Repeat *work* on *number* events while the database is away; None if they must be given back.

        :raises Blamed: after *patience* failures in a row with a database that answers in between; 0: never.
        """
        failures, answered = 0, 0
        until: float | None = None
        while True:
            try:
                done = work()
            except Retryable as exc:
                if until is None:
                    until = time.monotonic() + self._hold
                    LOG.error("Holding %d events until the database is back: %s", number, exc)
                failures += 1
                self._metrics.count("batches", outcome="retried")
                if self._stopping.wait(self._backoff(failures)):
                    return None
                answered = answered + 1 if patience and self._answers() else 0
                if patience and answered >= patience:
                    raise Blamed(exc) from exc
                if time.monotonic() >= until:
                    LOG.error("The database is still away; %d events go back to the broker", number)
                    return None
            else:
                if until is not None:
                    LOG.warning("The database is back; %d held events are evaluated", number)
                return done

    def wait(self, interrupted: Callable[[], bool], away: Callable[[], None]) -> bool:
        """Wait until the database answers; return False if interrupted or stopped before.

        :param away: called once if the database does not answer at first.
        """
        failures = 0
        while not (self._stopping.is_set() or interrupted()):
            try:
                if self._database is not None:
                    self._database.now()
            except Retryable as exc:
                if not failures:
                    away()
                    LOG.warning("Taking no events until the database is back: %s", exc)
                failures += 1
                self._stopping.wait(self._backoff(failures))
            else:
                if failures:
                    LOG.warning("The database is back; events are taken again")
                return True
        return False

    def _answers(self) -> bool:
        return self._database is not None and self._database.takes_writes()
