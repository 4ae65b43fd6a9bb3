"""The profiles of deliveries, and what several of them cost together. Pure."""

from __future__ import annotations

import dataclasses
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

from eventalarm.model import Checkpoint, Profile
from eventalarm.profile.stages import Breakdown, StageTime, break_down, percentages


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmProfile:
    """The stages of one delivery; ``names`` says which, by the names of the columns of deliveries."""

    names: dict[str, str]
    breakdown: Breakdown

    @property
    def title(self) -> str:
        """The alarm and its resource."""
        resource = self.names.get("managed_object")
        return f"{self.names['alarm_name'] or self.names['alarm_id']}{f' on {resource}' if resource else ''}"

    @property
    def detail(self) -> str:
        """The delivery, its event and its state."""
        return f"{self.names['event_type']}, delivery {self.names['delivery_id']} {self.names['state']}"


def alarm_profile(
    names: dict[str, str], profile: Profile, consumer: Sequence[Checkpoint]
) -> AlarmProfile | None:
    """Return the profile of a delivery with its stages; None if it has fewer than two checkpoints."""
    found = break_down(profile, consumer, names["event_type"])
    return None if found is None else AlarmProfile(names, found)


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What a component costs: its (median) ``seconds`` and its share in percent."""

    component: str
    checkpoint: str
    seconds: float
    percent: float

    @classmethod
    def of(cls, stage: StageTime) -> Cost:
        """Return the cost of one stage."""
        return cls(stage.component, stage.checkpoint, stage.seconds, stage.percent)


def costs(profiles: Iterable[AlarmProfile]) -> list[Cost]:
    """Return the cost of each component in all of *profiles*, the largest share first."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in profiles:
        for stage in one.breakdown.stages:
            found[stage.component, stage.checkpoint].append(stage.seconds)
    shares = percentages([sum(max(one, 0.0) for one in times) for times in found.values()])
    made = [
        Cost(*name, statistics.median(times), share)
        for (name, times), share in zip(found.items(), shares, strict=True)
    ]
    return sorted(made, key=lambda one: (-one.percent, -one.seconds))


def median(profiles: Sequence[AlarmProfile]) -> AlarmProfile:
    """Return the profile with the median total; there must be one."""
    return sorted(profiles, key=lambda one: one.breakdown.total)[len(profiles) // 2]
