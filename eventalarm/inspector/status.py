"""What ``eventalarm-inspector status`` reports: the size of the resource map, and how stale it is."""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import Final

from eventalarm.storage.database import Database
from eventalarm.storage.hosts import Hosts
from eventalarm.storage.resource_map import MapStats, ResourceMap

OK: Final = 0
STALE: Final = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """The map's figures; the ages are in seconds, None if there was no snapshot or observation yet."""

    stats: MapStats
    snapshot_age: float | None
    observation_age: float | None
    stale_after: float | None

    @property
    def stale(self) -> bool:
        """Return True if the map may be wrong: the last complete snapshot is too old, or there is none."""
        if self.stale_after is None:
            return False
        return self.snapshot_age is None or self.snapshot_age > self.stale_after


def look(database: Database, now: datetime.datetime, stale_after: float | None) -> Status:
    """Return the status of the map; *stale_after* is None where no snapshots are taken.

    :raises Retryable: when the database failed.
    """
    stats = ResourceMap(database).stats()
    return Status(stats, _age(Hosts(database, now).snapshot_at(), now), _age(stats.seen_at, now), stale_after)


def _age(moment: datetime.datetime | None, now: datetime.datetime) -> float | None:
    return None if moment is None else max(0.0, (now - moment).total_seconds())


def as_text(status: Status) -> str:
    """Return the status as lines for a terminal."""
    kinds = ", ".join(f"{number} {kind}s" for kind, number in sorted(status.stats.resources.items()))
    freshness = "no snapshots are taken" if status.stale_after is None else ""
    freshness = freshness or ("STALE" if status.stale else "up to date")
    return "\n".join(
        [
            f"resource map      {kinds or 'empty'} on {status.stats.hosts} hosts: {freshness}",
            f"last snapshot     {_ago(status.snapshot_age)}",
            f"last observation  {_ago(status.observation_age)}",
            f"raised faults     {status.stats.raised}, affecting {status.stats.affected} resources",
        ]
    )


def as_json(status: Status) -> str:
    """Return the status as a JSON object; ages are in seconds."""
    return json.dumps(
        {
            "resources": status.stats.resources,
            "hosts": status.stats.hosts,
            "snapshot_age": status.snapshot_age,
            "observation_age": status.observation_age,
            "raised_faults": status.stats.raised,
            "affected_resources": status.stats.affected,
            "stale": status.stale,
        }
    )


def _ago(age: float | None) -> str:
    return "never" if age is None else f"{age:.0f} s ago"
