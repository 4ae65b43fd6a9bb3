"""What is done with the profile of a delivery once its consumer has answered."""

from __future__ import annotations

from eventalarm.metrics import Metrics
from eventalarm.model import Delivery, Profile
from eventalarm.profile.stages import Origin, break_down


class ProfileObserver:
    """Counts the times of the stages of profiled deliveries."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def answered(self, delivery: Delivery, profile: Profile) -> None:
        """Observe each stage between two checkpoints of services.

        The names that reporters choose are no labels, and times of clocks that differ would be wrong.
        """
        found = break_down(profile)
        for stage in found.stages if found is not None else ():
            if stage.origin is Origin.SERVICE and stage.seconds >= 0:
                self._metrics.observe("stage_seconds", stage.seconds, stage=stage.checkpoint)
