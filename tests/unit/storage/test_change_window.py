"""What a window knows, against a plain list of what was read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eventalarm.storage.change_window import ChangeWindow, Mark

SPANS = st.integers(0, 9)
MARKS = st.builds(Mark, st.sampled_from("abcdef"), SPANS, st.integers(-9, 9))
READS = st.tuples(SPANS, st.lists(MARKS, max_size=6, unique_by=lambda mark: mark.alarm_id))


@given(st.lists(st.one_of(READS, SPANS), max_size=12), SPANS)
def test_the_sum_is_of_what_was_read_last(calls: list[tuple[int, list[Mark]] | int], boundary: int) -> None:
    window = ChangeWindow()
    known: dict[str, Mark] = {}
    for call in calls:
        if isinstance(call, int):
            window.leave(call)
            known = {alarm_id: mark for alarm_id, mark in known.items() if mark.span >= call}
            continue
        first, read = call
        late = [mark for mark in read if mark.span >= first]
        news = window.replace(first, late)
        assert news == {mark.alarm_id for mark in late if known.get(mark.alarm_id) != mark}
        known = {alarm_id: mark for alarm_id, mark in known.items() if mark.span < first}
        known |= {mark.alarm_id: mark for mark in late}
    assert len(window) == len(known)
    assert window.total(boundary) == sum(mark.mark for mark in known.values() if mark.span < boundary)
