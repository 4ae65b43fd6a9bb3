"""Any history that Aodh can have written folds into consistent occurrences."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eventalarm.ifa_shim import Record, Settings, State, from_history
from eventalarm.ifa_shim.mapping import occurrences_of
from eventalarm.ifa_shim.occurrences import OccurrenceView
from eventalarm.ifa_shim.tables import InsufficientData
from eventalarm.model import ALARM, OK, UNKNOWN
from tests.support.builders import rule
from tests.unit.ifa_shim.parts import SERVER, alarm, created, edited, evaluated, put_state

STATES = st.sampled_from([OK, ALARM, UNKNOWN])
SECONDS = st.integers(0, 20)
RULES = st.sampled_from([rule(instance_id=SERVER), rule(instance_id="other"), rule(state="error")])

CHANGES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "severity": st.sampled_from(["low", "moderate", "critical"]),
        "enabled": st.booleans(),
        "rule": RULES,
        "state": STATES,
        "name": st.just("x"),
    },
)
RECORDS = st.lists(
    st.one_of(
        st.builds(created, SECONDS, STATES),
        st.builds(evaluated, STATES, SECONDS),
        st.builds(put_state, STATES, SECONDS),
        st.builds(lambda seconds, changes: edited(seconds, **changes), SECONDS, CHANGES),
    ),
    max_size=12,
)
SETTINGS = st.builds(
    Settings,
    insufficient_data=st.sampled_from(InsufficientData),
    repeat_is_change=st.booleans(),
    hold_down=st.sampled_from([0.0, 3.0]),
)


def check(view: OccurrenceView) -> None:
    times = [t for t in (view.raised_at, view.changed_at, view.cleared_at) if t is not None]
    assert times == sorted(times)
    assert [change.at for change in view.changes] == sorted(change.at for change in view.changes)
    assert view.hits >= 1


@given(st.permutations(range(12)), RECORDS, STATES, RULES, SETTINGS)
def test_occurrences_are_consistent(
    order: list[int], records: list[Record], state: str, the_rule: Any, settings: Settings
) -> None:
    row = alarm(state, the_rule)
    views = occurrences_of(row, records, settings)
    for view in views:
        check(view)
    assert all(not view.active for view in views[:-1])
    for before, after in itertools.pairwise(views):
        assert before.cleared_at is not None
        assert before.cleared_at <= after.raised_at
    active = bool(views) and views[-1].active
    if state == OK or (state == UNKNOWN and settings.insufficient_data is InsufficientData.CLEAR):
        assert not active
    moved = any("another resource" in change.reason for view in views for change in view.changes)
    if state == ALARM and not moved:
        assert active
    shuffled = [records[i] for i in order if i < len(records)]
    assert occurrences_of(row, shuffled, settings) == views


@given(RECORDS, STATES, SETTINGS)
def test_the_attributes_of_an_alarm_agree(records: list[Record], state: str, settings: Settings) -> None:
    found = from_history(alarm(state), records, settings)
    if found is None:
        assert state != ALARM
        return
    assert (found.cleared_time is not None) == (found.state is State.CLEARED)
    assert (found.perceived_severity == "CLEARED") == (found.state is State.CLEARED)
    assert (found.changed_time is None) == (found.state is State.FIRED)
    assert found.managed_object_id
    assert found.probable_cause
