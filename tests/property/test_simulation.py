"""A simulation fires timers as the timer service does, whatever happens in between."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from eventalarm.evaluator.decide import WITH_OK_ACTIONS
from eventalarm.evaluator.simulation import PastEvent, Simulation, SimulationOptions
from tests.property import examples
from tests.property.test_timers_stateful import FAULT, OBJECTS, RULES, World
from tests.support.builders import NOW, RESOURCE_TRAITS, event

RECEIVED = st.lists(
    st.tuples(st.sampled_from([1, 2, 4, 7, 25]), st.sampled_from(OBJECTS), st.booleans()), max_size=15
)
OPTIONS = SimulationOptions(RESOURCE_TRAITS, WITH_OK_ACTIONS)


def wait(world: World, seconds: int) -> None:
    """Let time pass, and what is due meanwhile happen."""
    end = world.now + seconds
    while (timer := world.next_due()) is not None and timer.due_at is not None:
        due = (timer.due_at - NOW).total_seconds()
        if due > end:
            break
        world.now = max(world.now, due)
        world.fire(timer)
    world.now = end


@examples(60)
@hypothesis.given(the_rule=RULES, received=RECEIVED)
def test_timers_fire_as_in_the_timer_service(the_rule: dict[str, Any], received: list[Any]) -> None:
    """Red when a timer fires after a later event, or one that is armed by an event never does."""
    said = {name: value for name, value in the_rule.items() if value is not None}
    world = World({"event_type": "*", "query": FAULT, **said})
    simulation = Simulation(world.alarm, OPTIONS, NOW)
    world.take_note()
    past = []
    for seconds, vm, is_fault in received:
        wait(world, seconds)
        state = "error" if is_fault else "active"
        world.tell(vm, state)
        past.append(PastEvent(event(state=state, resource_id=vm, generated=world.moment()), world.moment()))
    wait(world, 60)
    done = simulation.run(past, world.moment())
    found = [(one.kind.value, one.managed_object) for one in done.transitions]
    assert sorted(found) == sorted(world.transitions)
    assert done.ended_at is None


def test_a_simulation_ends_after_too_many_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of its time constraints a timer is due again every minute, for as long as it takes."""
    monkeypatch.setattr("eventalarm.evaluator.simulation.MOST_TIMERS", 3)
    world = World({"event_type": "*", "query": FAULT, "absence": {"after": 5}})
    never = {"name": "never", "start": "0 0 30 2 *", "duration": 1, "timezone": "UTC"}
    alarm = dataclasses.replace(world.alarm, time_constraints=(never,))
    until = NOW + datetime.timedelta(hours=1)
    done = Simulation(alarm, OPTIONS, NOW).run([], until)
    assert (done.ended_at, done.transitions) == (until, [])
    assert done.reasons == {"outside_time_constraints": 3}
