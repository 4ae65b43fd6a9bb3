"""From the checkpoints of an alarm to the time and the share of each component. Pure.

Checkpoints come from the clocks of several hosts. A stage that seems to end before it began is kept with its
negative time, which tells that two clocks differ, and has no share; the shares of the others add up to 100 %.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Final

from eventalarm.model import Checkpoint, Profile, Stage

# What did the work that ends with a stage, for those that are the same for every event.
COMPONENTS: Final = {
    Stage.RECEIVED: "broker",
    Stage.MATCHED: "match",
    Stage.COMMITTED: "commit",
    Stage.SENT: "send",
    Stage.ANSWERED: "answer",
}
# Who publishes on the bus, by the start of its id; other ids are those of Ceilometer's publishers.
PUBLISHERS: Final = {"eventalarm.ingest": "ingest API", "eventalarm.inspector": "inspector"}
CEILOMETER: Final = "Ceilometer"
# Who generates an event, by the first word of its type.
SOURCES: Final = {
    "Nova": ("compute", "service", "aggregate", "server_group", "scheduler", "keypair"),
    "Neutron": ("network", "subnet", "port", "router", "floatingip", "security_group", "trunk"),
    "Cinder": ("volume", "snapshot", "backup"),
}
SOURCE: Final = "source"
# Shares are rounded to tenths of a percent.
WHOLE: Final = 1000


class Origin(enum.StrEnum):
    """Who took a checkpoint: the reporter of the fault, the services on the way, or the consumer."""

    REPORTER = "reporter"
    SERVICE = "service"
    CONSUMER = "consumer"


@dataclasses.dataclass(frozen=True, slots=True)
class StageTime:
    """The time of one component, which ended with ``checkpoint``.

    ``begin`` and ``seconds`` are in seconds; ``begin`` counts from the first checkpoint. Negative ``seconds``
    mean that the clocks of two hosts differ. ``percent`` is the share of the time of all other stages.
    """

    component: str
    checkpoint: str
    origin: Origin
    begin: float
    seconds: float
    percent: float


@dataclasses.dataclass(frozen=True, slots=True)
class Breakdown:
    """The stages in the order of the work; ``started_at`` (seconds since 1970) is the time of the fault."""

    started_at: float
    first: str
    stages: tuple[StageTime, ...]

    @property
    def total(self) -> float:
        """Seconds from the first checkpoint to the last."""
        last = self.stages[-1]
        return last.begin + last.seconds

    @property
    def by_cost(self) -> list[StageTime]:
        """The stages, the longest first."""
        return sorted(self.stages, key=lambda one: -one.seconds)

    @property
    def skewed(self) -> list[StageTime]:
        """The stages that ended before they began, by the clocks of their hosts."""
        return [one for one in self.stages if one.seconds < 0]


@dataclasses.dataclass(frozen=True, slots=True)
class _Point:
    component: str
    checkpoint: Checkpoint
    origin: Origin


def break_down(
    profile: Profile, consumer: Sequence[Checkpoint] = (), event_type: str = ""
) -> Breakdown | None:
    """Return the stages of a profile; None with fewer than two checkpoints.

    :param consumer: what the consumer of the delivery did after its answer, or during it.
    """
    reported = [_Point(one.name, one, Origin.REPORTER) for one in profile.reporter]
    services = [_point(stage, at, profile, event_type) for stage, at in _in_order(profile)]
    if services and services[0].checkpoint.name == Stage.GENERATED:
        reported.append(services.pop(0))
    # The time of an event may be that of the fault, or of its notification: only the clock can tell.
    reported.sort(key=lambda one: one.checkpoint.time)
    handled = [_Point(one.name, one, Origin.CONSUMER) for one in consumer]
    points = [*reported, *services, *handled]
    if len(points) < 2:
        return None
    start = points[0].checkpoint.time
    spans = [
        (one, before.checkpoint.time - start, one.checkpoint.time - before.checkpoint.time)
        for before, one in itertools.pairwise(points)
    ]
    shares = percentages([seconds for _, _, seconds in spans])
    stages = tuple(
        StageTime(one.component, one.checkpoint.name, one.origin, begin, seconds, share)
        for (one, begin, seconds), share in zip(spans, shares, strict=True)
    )
    return Breakdown(start, points[0].checkpoint.name, stages)


def percentages(durations: Sequence[float]) -> list[float]:
    """Return the share of each duration in percent, in tenths, which add up to 100 exactly.

    A duration that is not positive has no share; if none is, all shares are 0.
    """
    whole = math.fsum(one for one in durations if one > 0)
    if not 0 < whole < math.inf:
        return [0.0] * len(durations)
    exact = [max(one, 0.0) / whole * WHOLE for one in durations]
    found = [int(one) for one in exact]
    # What rounding down left goes to the largest remainders.
    order = sorted(range(len(exact)), key=lambda place: found[place] - exact[place])
    for place in order[: WHOLE - sum(found)]:
        found[place] += 1
    return [one / 10 for one in found]


def _in_order(profile: Profile) -> Iterable[tuple[Stage, float]]:
    return [(stage, profile.times[stage]) for stage in Stage if stage in profile.times]


def _point(stage: Stage, at: float, profile: Profile, event_type: str) -> _Point:
    if stage is Stage.GENERATED:
        component = source_of(event_type)
    elif stage is Stage.PUBLISHED:
        component = publisher_of(profile.publisher)
    else:
        # A stage whose checkpoint was lost with its process is part of the next one.
        component = ", ".join(COMPONENTS[one] for one in (*_lost(stage, profile), stage))
    return _Point(component, Checkpoint(stage.value, at), Origin.SERVICE)


def _lost(stage: Stage, profile: Profile) -> list[Stage]:
    """Return the stages directly before one that have no checkpoint."""
    stages = list(COMPONENTS)
    before = itertools.takewhile(lambda one: one not in profile.times, stages[: stages.index(stage)][::-1])
    return list(before)[::-1]


def publisher_of(publisher: str) -> str:
    """Return the name of the component that put an event on the bus, by its id there."""
    return PUBLISHERS.get(publisher, CEILOMETER)


def source_of(event_type: str) -> str:
    """Return the name of the service that generates events of a type."""
    word = event_type.partition(".")[0]
    return next((name for name, words in SOURCES.items() if word in words), SOURCE)
