"""From checkpoints to stages: names, times, shares, and clocks that differ."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventalarm.model import Checkpoint, Profile, Stage
from eventalarm.profile.stages import Origin, break_down, percentages
from tests.support.profiles import ZERO, profile

SKEWED = st.floats(-3600, 3600, allow_nan=False)


def test_each_component_has_its_time_and_share() -> None:
    found = break_down(profile(0, 0.010, 0.015, 0.016, 0.020, 0.021, 0.040), (), "compute.instance.update")

    assert found is not None
    assert [one.component for one in found.stages] == [
        *("Ceilometer", "broker", "match", "commit", "send", "answer"),
    ]
    took = [one.seconds for one in found.stages]
    assert took == pytest.approx([0.010, 0.005, 0.001, 0.004, 0.001, 0.019], abs=1e-6)
    assert [one.percent for one in found.stages] == [25.0, 12.5, 2.5, 10.0, 2.5, 47.5]
    assert [one.component for one in found.by_cost][:2] == ["answer", "Ceilometer"]
    assert found.total == pytest.approx(0.040)
    assert (found.first, found.started_at) == ("generated", ZERO)


def test_checkpoints_of_reporter_and_consumer_surround_ours() -> None:
    """Red when the time of Nova's notification is always taken for that of the fault."""
    reported = (Checkpoint("link down", ZERO - 0.3), Checkpoint("inspected", ZERO - 0.1))
    found = break_down(
        profile(0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, reporter=reported),
        [Checkpoint("switched over", ZERO + 1.6)],
        "compute.instance.update",
    )

    assert found is not None
    assert found.first == "link down"
    assert [one.component for one in found.stages][:3] == ["inspected", "Nova", "Ceilometer"]
    assert found.stages[1].origin is Origin.SERVICE
    last = found.stages[-1]
    assert (last.component, last.origin) == ("switched over", Origin.CONSUMER)
    assert last.seconds == pytest.approx(1.0)


def test_the_time_of_a_report_may_be_that_of_the_fault() -> None:
    reported = (Checkpoint("detected", ZERO + 0.05),)
    one = profile(0, 0.1, 0.2, reporter=reported, publisher="eventalarm.ingest")
    found = break_down(one, (), "compute.host.down")

    assert found is not None
    assert [(stage.component, stage.checkpoint) for stage in found.stages] == [
        *(("detected", "detected"), ("ingest API", "published"), ("broker", "received")),
    ]


def test_a_lost_checkpoint_is_named_with_the_next_one() -> None:
    one = profile(0, 1, 2, 3, 4, 5, 6)
    del one.times[Stage.COMMITTED], one.times[Stage.RECEIVED]
    found = break_down(one)

    assert found is not None
    assert [stage.component for stage in found.stages] == [
        *("Ceilometer", "broker, match", "commit, send", "answer"),
    ]


def test_a_clock_that_is_ahead_is_named_and_has_no_share() -> None:
    found = break_down(profile(0, 0.5, 0.2, 0.3, 0.4, 0.5, 0.6))

    assert found is not None
    (skewed,) = found.skewed
    assert (skewed.component, skewed.percent) == ("broker", 0.0)
    assert skewed.seconds == pytest.approx(-0.3)
    assert sum(one.percent for one in found.stages) == pytest.approx(100)


def test_one_checkpoint_makes_no_profile() -> None:
    assert break_down(profile(0)) is None
    assert break_down(Profile({})) is None


@given(st.lists(SKEWED, min_size=1, max_size=30))
def test_shares_add_up_exactly_and_follow_the_times(durations: list[float]) -> None:
    shares = percentages(durations)

    assert len(shares) == len(durations)
    tenths = [round(one * 10) for one in shares]
    assert sum(tenths) == (1000 if any(one > 0 for one in durations) else 0)
    for duration, share in zip(durations, shares, strict=True):
        assert 0 <= share <= 100
        assert duration > 0 or share == 0
    pairs = sorted(zip(durations, tenths, strict=True))
    assert all(one[1] <= other[1] + 1 for one, other in itertools.pairwise(pairs))


@given(
    st.lists(SKEWED, min_size=7, max_size=7),
    st.lists(SKEWED, max_size=4),
    st.lists(SKEWED, max_size=4),
    st.sets(st.sampled_from(list(Stage)), max_size=5),
)
def test_stages_are_contiguous_whatever_the_clocks(
    at: list[float], reported: list[float], handled: list[float], lost: set[Stage]
) -> None:
    """Red when a negative stage is left out or set to 0."""
    one = profile(*at, reporter=[Checkpoint(f"r{n}", ZERO + time) for n, time in enumerate(reported)])
    for stage in lost:
        del one.times[stage]
    found = break_down(one, [Checkpoint(f"c{n}", ZERO + time) for n, time in enumerate(handled)])
    number = 7 - len(lost) + len(reported) + len(handled)

    assert found is not None
    assert len(found.stages) == number - 1
    ends = [stage.begin + stage.seconds for stage in found.stages]
    assert [stage.begin for stage in found.stages] == pytest.approx([0, *ends[:-1]], abs=1e-5)
    assert found.total == pytest.approx(sum(stage.seconds for stage in found.stages), abs=1e-4)
    costs = [stage.seconds for stage in found.by_cost]
    assert costs == sorted(costs, reverse=True)
    assert found.skewed == [stage for stage in found.stages if stage.seconds < 0]
