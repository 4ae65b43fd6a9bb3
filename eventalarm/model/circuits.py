"""The circuit of a destination: whether a consumer is called at all, as the database stores it."""

from __future__ import annotations

import dataclasses
import datetime
import enum


class CircuitState(enum.StrEnum):
    """State of a circuit.

    Closed: deliveries are sent. Open: they are deferred. Half-open: one of them is being sent as a probe.
    Disabled: they are given up at once, until an enabling by hand.
    """

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    DISABLED = "disabled"


@dataclasses.dataclass(frozen=True, slots=True)
class Circuit:
    """The circuit of one destination of one project; times are aware UTC.

    A destination is ``scheme://host:port``; one that is only ever disabled may be a URL without its secrets.

    ``failures`` counts attempts that failed in a row, without the probes, of which ``probes`` were made since
    it opened. ``failing_since`` and ``failed_at`` are of the first and the last of them, ``status`` and
    ``error`` of the last. ``next_probe_at`` is None unless it is open or half-open. ``version`` rises with
    each change in the database; 0: not stored.
    """

    project_id: str
    destination: str
    state: CircuitState = CircuitState.CLOSED
    failures: int = 0
    failing_since: datetime.datetime | None = None
    failed_at: datetime.datetime | None = None
    next_probe_at: datetime.datetime | None = None
    probes: int = 0
    status: int | None = None
    error: str = ""
    version: int = 0

    @property
    def defers(self) -> bool:
        """Whether deliveries wait, except for the probe."""
        return self.state in {CircuitState.OPEN, CircuitState.HALF_OPEN}
