"""Comparisons of generated inventories: nothing differs from itself, and whatever is removed is found."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from eventalarm.pulse.comparison import OPERATIONAL, REQUESTED, Change, compare, is_operational
from eventalarm.pulse.finding import Health
from eventalarm.pulse.inventory import Item, Kind

STATES = st.sampled_from(
    sorted({*set().union(*OPERATIONAL.values(), *REQUESTED.values()), "ERROR", "DOWN", ""})
)
ITEMS = st.builds(
    Item,
    kind=st.sampled_from(Kind),
    id=st.text(max_size=3),
    name=st.text(max_size=3),
    state=STATES,
    project_id=st.sampled_from(["a", "b", ""]),
)
INVENTORIES = st.lists(ITEMS, max_size=20, unique_by=lambda item: (item.kind, item.id))


@given(INVENTORIES)
def test_nothing_differs_from_itself(items: list[Item]) -> None:
    found = compare(items, items)
    assert (found.broken, found.differences, found.health) == ((), (), Health.OK)
    assert found.compared == len(items)


@given(INVENTORIES.filter(bool), st.data())
def test_whatever_is_removed_is_found_and_nothing_else(items: list[Item], data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.sampled_from(range(len(items))), min_size=1))
    left = data.draw(st.permutations([item for n, item in enumerate(items) if n not in gone]))
    found = compare(items, left)
    assert [(one.change, one.item) for one in found.differences] == [
        (Change.MISSING, items[n]) for n in sorted(gone)
    ]
    assert found.health is Health.CRITICAL


@given(INVENTORIES, INVENTORIES)
def test_both_directions_agree(before: list[Item], now: list[Item]) -> None:
    def of(change: Change, a: list[Item], b: list[Item]) -> set[tuple[Kind, str]]:
        return {(one.item.kind, one.item.id) for one in compare(a, b).differences if one.change is change}

    assert of(Change.MISSING, before, now) == of(Change.NEW, now, before)
    # A resource cannot have stopped in both directions.
    assert not of(Change.NOT_OPERATIONAL, before, now) & of(Change.NOT_OPERATIONAL, now, before)


@given(ITEMS, STATES)
def test_only_what_worked_before_can_have_stopped(item: Item, state: str) -> None:
    changed = dataclasses.replace(item, state=state)
    stopped = is_operational(item) and not is_operational(changed)
    assert [one.change for one in compare([item], [changed]).differences] == [
        Change.NOT_OPERATIONAL
    ] * stopped
