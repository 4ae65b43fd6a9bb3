"""What a health check of the cloud found about a target, and what is known of that target."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Iterable, Mapping


class Health(enum.IntEnum):
    """How well something is; the values are the exit codes of Nagios plugins."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


# The worst last. What is unknown may be as bad as a warning, but is no proof of a failure.
_BY_WEIGHT = (Health.OK, Health.UNKNOWN, Health.WARNING, Health.CRITICAL)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one look at one target found.

    :ivar target: what was looked at, such as ``nova (RegionOne)``; with the name of the check it identifies
        a fault, so it must be the same each time.
    :ivar summary: one line for people.
    :ivar remedy: what to do about it; empty if all is well.
    :ivar figures: measured values by name, with the unit in the name: ``seconds``, ``nodes``.
    :ivar project_id: the owner; empty for the infrastructure.
    :ivar host: the host that is at fault, if only one is.
    """

    target: str
    health: Health
    summary: str
    remedy: str = ""
    figures: Mapping[str, float] = dataclasses.field(default_factory=dict)
    project_id: str = ""
    host: str = ""

    @property
    def failed(self) -> bool:
        """True for what an alarm is raised for."""
        return self.health in (Health.WARNING, Health.CRITICAL)


def worst(healths: Iterable[Health]) -> Health:
    """Return the worst of *healths*; OK if there is none, and UNKNOWN is better than WARNING."""
    return max(healths, key=_BY_WEIGHT.index, default=Health.OK)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """What is known of one target of a check.

    :ivar finding: the last one.
    :ivar since: when its health last changed, aware UTC.
    :ivar checked_at: when it was found, aware UTC.
    :ivar failing: failures in succession until now.
    :ivar succeeding: successes in succession until now.
    :ivar reported: the health that the last event reported; OK if no fault is reported.
    :ivar reports: how many events there have been, which numbers them.
    """

    finding: Finding
    since: datetime.datetime
    checked_at: datetime.datetime
    failing: int = 0
    succeeding: int = 0
    reported: Health = Health.OK
    reports: int = 0
