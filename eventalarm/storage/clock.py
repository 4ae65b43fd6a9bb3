"""The clock that all processes share: the database's, in UTC, extrapolated between readings.

The clocks of hosts differ, and the database's may be stepped. So where processes must agree, no host's clock
is used, and a lease depends only on the monotonic time of the process that watches it.
"""

from __future__ import annotations

import datetime
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from eventalarm.model import UTC
from eventalarm.storage.column_types import UtcDateTime

# Each returns naive UTC with microseconds, regardless of the time zones of the server and the session: local
# time repeats an hour in autumn.
_UTC_NOW: Final = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'",
    "postgresql": "clock_timestamp() AT TIME ZONE 'UTC'",
    "mysql": "UTC_TIMESTAMP(6)",
}
_UTC_NOW["mariadb"] = _UTC_NOW["mysql"]

# Seconds to which SQLite truncates its clock; the others have microseconds.
RESOLUTIONS: Final = {"sqlite": 0.001}

# Seconds: a reading that differs more from what was expected is a step; less is drift or a slow answer.
STEP: Final = 0.25
# Seconds for which it counts that the clock was set back.
SET_BACK_WITHIN: Final = 3600.0
# How many steps are remembered.
STEPS: Final = 100


def utc_now(dialect: str) -> str:
    """Return the SQL expression of the current time as naive UTC with microseconds."""
    return _UTC_NOW[dialect]


class Present(sa.sql.functions.FunctionElement[datetime.datetime]):
    """The database's clock as an expression; within a statement it stands still, so an index can be used."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(Present)
def _present(_element: Present, compiler: Any, **_options: Any) -> str:
    return utc_now(compiler.dialect.name)


@compiles(Present, "postgresql")
def _present_of_a_statement(_element: Present, _compiler: Any, **_options: Any) -> str:
    return "(statement_timestamp() AT TIME ZONE 'UTC')"


def ask(connection: sa.Connection) -> datetime.datetime:
    """Return the database's clock (aware UTC), read on an open connection."""
    found: Any = connection.exec_driver_sql(f"SELECT {utc_now(connection.dialect.name)}").scalar_one()
    moment = datetime.datetime.fromisoformat(found) if isinstance(found, str) else found
    return moment.replace(tzinfo=UTC)


class DatabaseClock:
    """An estimate of the database's clock that needs no query; safe to share between threads.

    Each reading bounds the estimate by the time that the answer took. Between readings the monotonic clock
    extrapolates it, so it is never ahead of the database's clock by more than the drift since the last one.

    :param resolution: seconds by which a reading may be behind, because the database truncates it.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, resolution: float = 0.0) -> None:
        self._monotonic = monotonic
        self._resolution = resolution
        self._lock = threading.Lock()
        # What must be added to the monotonic clock: the lower and the upper bound.
        self._offset: tuple[float, float] | None = None
        self._read_at = 0.0
        self._left: deque[tuple[float, float]] = deque(maxlen=STEPS)
        self.jumps = 0

    def observe(self, moment: datetime.datetime, asked_at: float) -> None:
        """Record a reading that was requested at *asked_at* (monotonic seconds) and has just arrived."""
        answered_at = self._monotonic()
        said = moment.timestamp()
        offset = said - answered_at, said + self._resolution - asked_at
        with self._lock:
            if self._offset is not None:
                least, most = max(self._offset[0], offset[0]), min(self._offset[1], offset[1])
                if least <= most:
                    offset = least, most
                elif least - most > STEP:
                    self.jumps += 1
                    self._left.append((answered_at, self._offset[0]))
            self._offset, self._read_at = offset, answered_at

    def age(self) -> float | None:
        """Return the seconds since the last reading; None before the first one."""
        return None if self._offset is None else self._monotonic() - self._read_at

    def now(self) -> datetime.datetime | None:
        """Return the estimated time (aware UTC); None before the first reading."""
        return None if self._offset is None else _moment(self._monotonic() + self._offset[0])

    def earliest(self, within: float) -> datetime.datetime | None:
        """Return the earliest time that the clock would show without its steps of the last *within* seconds.

        For reads of a range of timestamps that other clocks wrote: one of the two clocks, before or after
        the step, was right. None before the first reading.
        """
        offsets = self._offsets(within)
        return _moment(self._monotonic() + min(offsets)) if offsets else None

    def set_back(self, within: float) -> float:
        """Return by how many seconds the clock would be ahead without its steps of the last *within* seconds.

        0 if it was not set back. For times that other clocks wrote: what they say may be right, although it
        is in the future.
        """
        # Asked for every event, and most clocks are never stepped.
        offsets = self._offsets(within) if self._left else []
        return max(offsets) - offsets[0] if offsets else 0.0

    def _offsets(self, within: float) -> Sequence[float]:
        """Return what is added to the monotonic clock, first now, then before each of the recent steps."""
        present = self._monotonic()
        with self._lock:
            left = [offset for at, offset in self._left if present - at < within]
            return [] if self._offset is None else [self._offset[0], *left]

    def host_offset(self) -> float | None:
        """Return by how many seconds the clock of this host is ahead of the database's; None if unknown."""
        present = self.now()
        return None if present is None else time.time() - present.timestamp()


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, UTC)
