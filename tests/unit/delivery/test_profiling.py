"""Which stages of a profiled delivery are counted."""

from __future__ import annotations

from eventalarm import metrics
from eventalarm.delivery.profiling import ProfileObserver
from eventalarm.model import Checkpoint
from tests.support.deliveries import make_delivery
from tests.support.profiles import ZERO, profile


def test_stages_of_services_are_counted_unless_clocks_differ() -> None:
    """Red when the name of a reporter's checkpoint becomes a label."""
    made = metrics.Metrics()
    reporter = [Checkpoint("link down", ZERO - 1), Checkpoint("inspected", ZERO - 0.5)]
    one = profile(0, 0.5, 0.2, 0.3, reporter=reporter)
    ProfileObserver(made).answered(make_delivery(), one)
    (family,) = [found for found in made.registry.collect() if found.name == "eventalarm_stage_seconds"]
    counted = {one.labels["stage"]: one.value for one in family.samples if one.name.endswith("_count")}

    assert counted == {"generated": 1, "published": 1, "matched": 1}
