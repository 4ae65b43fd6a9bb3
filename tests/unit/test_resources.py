"""The resource map's rule of merging: the newest observation counts, in whatever order they arrive."""

from __future__ import annotations

import datetime
import functools

import hypothesis.strategies as st
import pytest
from hypothesis import given

from eventalarm.model import EPOCH, Resource, ResourceKind, merge_resources

TIMES = st.integers(0, 3).map(lambda second: EPOCH + datetime.timedelta(seconds=second))
OBSERVATIONS = st.builds(
    Resource,
    kind=st.just(ResourceKind.SERVER),
    resource_id=st.just("vm-1"),
    seen_at=TIMES,
    project_id=st.sampled_from(["a", "b"]),
    device_id=st.sampled_from(["", "vm-2"]),
    state=st.sampled_from(["active", "error"]),
    deleted=st.booleans(),
    host=st.sampled_from(["", "compute0", "compute1"]),
    host_at=st.none() | TIMES,
    server_group=st.sampled_from(["", "group"]),
    checked_at=st.none() | TIMES,
)


@given(
    st.lists(OBSERVATIONS, min_size=1, max_size=6).flatmap(
        lambda seen: st.tuples(st.just(seen), st.permutations(seen))
    )
)
def test_the_order_of_observations_does_not_matter(both: tuple[list[Resource], list[Resource]]) -> None:
    """Fails with a comparison that keeps the first of two observations of the same moment."""
    seen, shuffled = both
    assert functools.reduce(merge_resources, seen) == functools.reduce(merge_resources, shuffled)


@given(OBSERVATIONS, OBSERVATIONS)
def test_an_observation_that_is_repeated_changes_nothing(one: Resource, other: Resource) -> None:
    merged = merge_resources(one, other)
    assert merge_resources(merged, one) == merge_resources(merged, other) == merged


def at(second: int) -> datetime.datetime:
    return EPOCH + datetime.timedelta(seconds=second)


@pytest.mark.parametrize(
    ("later", "host", "deleted"),
    [
        (Resource(ResourceKind.SERVER, "vm-1", at(1), host="old", host_at=at(1)), "compute0", False),
        (Resource(ResourceKind.SERVER, "vm-1", at(3), host="new", host_at=at(3)), "new", False),
        (Resource(ResourceKind.SERVER, "vm-1", at(3)), "compute0", False),
        (Resource(ResourceKind.SERVER, "vm-1", at(3), deleted=True), "compute0", True),
        (Resource(ResourceKind.SERVER, "vm-1", at(1), deleted=True), "compute0", False),
    ],
)
def test_late_observations_change_nothing_newer(later: Resource, host: str, deleted: bool) -> None:
    known = Resource(ResourceKind.SERVER, "vm-1", at(2), host="compute0", host_at=at(2))
    found = merge_resources(known, later)
    assert (found.host, found.deleted) == (host, deleted)
