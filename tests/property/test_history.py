"""The check of histories accepts whatever a correct evaluator does, and finds any one change of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from hypothesis import assume, given
from hypothesis import strategies as st

from eventalarm.trial.history.check import check
from eventalarm.trial.history.records import (
    Alarm,
    Delivery,
    Event,
    History,
    Publish,
    Receipt,
    Record,
    Run,
    Transition,
)

NOON = 1_767_268_800.0
PROJECTS = ("p", "q")
RESOURCES = ("vm", "disk")


@dataclass
class Evaluator:
    """A correct evaluator of one alarm: it sorts nothing, but late events change nothing."""

    alarm: Alarm
    raised: bool = False
    known: float = 0.0
    seen: set[str] = field(default_factory=set)

    def evaluate(self, event: Event, now: float) -> str | None:
        """Return the kind of transition that an event causes, if it causes one."""
        about = (event.project, event.resource) == (self.alarm.project, self.alarm.resource)
        if not about or event.message_id in self.seen:
            return None
        match = event.state == self.alarm.state
        moment = min(event.generated or now, now)
        changes = (match and (self.alarm.repeats or not self.raised)) or (
            not match and self.alarm.clears and self.raised
        )
        if changes and moment < self.known:
            self.seen.add(event.message_id)
            return "late"
        if not changes:
            self.known = max(self.known, moment) if self.alarm.clears else self.known
            return None
        kind = ("changed" if self.raised else "raised") if match else "cleared"
        self.raised, self.known = match, moment
        self.seen.add(event.message_id)
        return kind


alarms = st.builds(
    lambda project, resource, clears, repeats: Alarm(
        NOON - 60,
        f"{project}-{resource}",
        project,
        resource,
        "error",
        "name",
        (f"http://c:1/steady/{project}-{resource}",),
        clears=clears,
        repeats=repeats,
    ),
    st.sampled_from(PROJECTS),
    st.sampled_from(RESOURCES),
    st.booleans(),
    st.booleans(),
)
events = st.lists(
    st.tuples(
        st.sampled_from(PROJECTS),
        st.sampled_from(RESOURCES),
        st.sampled_from(("error", "error", "active")),
        st.integers(-20, 20),
        st.integers(0, 10),
    ),
    max_size=12,
)


@st.composite
def correct(draw: st.DrawFn) -> list[Record]:
    """Draw the history of a correct deployment: events overtake each other and are delivered repeatedly."""
    known = draw(st.lists(alarms, min_size=1, unique_by=lambda one: one.alarm_id))
    records: list[Record] = [Run("property"), *known]
    deliveries: list[tuple[float, Event]] = []
    for number, (project, resource, state, skew, delay) in enumerate(draw(events)):
        at = NOON + number
        event = Event(f"m{number}", project, resource, state, at + skew)
        records.append(Publish(at, at + 0.01, (event,)))
        deliveries.append((at + delay, event))
        if draw(st.booleans()):
            deliveries.append((at + delay + draw(st.integers(0, 5)), event))
    evaluators = [Evaluator(one) for one in known]
    seq = 0
    for now, event in sorted(deliveries, key=lambda one: one[0]):
        for evaluator in evaluators:
            kind = evaluator.evaluate(event, now)
            if kind is None:
                continue
            alarm, seq = evaluator.alarm, seq + 1
            name = f"{alarm.alarm_id}-{event.message_id}"
            moment = min(event.generated or now, now)
            records.append(
                Transition(name, alarm.alarm_id, event.message_id, kind, moment, now + 0.01, alarm.name)
            )
            if kind != "late":
                (url,) = alarm.actions
                path = url.removeprefix("http://c:1")
                records.append(Delivery(seq, name, name, url, "delivered", 1))
                records.append(Receipt(now + 0.1 + seq, now, "steady", path, name, event.message_id, 200))
    return records


@given(correct())
def test_a_correct_history_is_right(records: list[Record]) -> None:
    assert check(History(records)).problems == []


@given(correct(), st.data())
def test_any_one_record_less_is_found(records: list[Record], data: st.DataObject) -> None:
    there = [one for one in records if isinstance(one, Delivery | Receipt)]
    assume(there)
    gone = data.draw(st.sampled_from(there))
    assert not check(History([one for one in records if one is not gone])).right


@given(correct(), st.data())
def test_any_one_record_twice_is_found(records: list[Record], data: st.DataObject) -> None:
    there = [one for one in records if isinstance(one, Transition | Delivery | Receipt)]
    assume(there)
    assert not check(History([*records, data.draw(st.sampled_from(there))])).right


@given(correct(), st.data())
def test_a_transition_of_another_alarm_or_event_is_found(records: list[Record], data: st.DataObject) -> None:
    rows = [one for one in records if isinstance(one, Transition)]
    assume(rows)
    row = data.draw(st.sampled_from(rows))
    names = [f"{project}-{resource}" for project in PROJECTS for resource in RESOURCES]
    other = data.draw(st.sampled_from([name for name in names if name != row.alarm_id]))
    moved = dataclasses.replace(row, alarm_id=other)
    assert not check(History([moved if one is row else one for one in records])).right
