"""Which timers a definition requires when it is edited, disabled or enabled again."""

from __future__ import annotations

import dataclasses

from eventalarm.evaluator.compiled_rule import CompiledRule
from eventalarm.evaluator.decide import NOTIFICATION_TYPE
from eventalarm.evaluator.notification_rule import compile_definition
from eventalarm.evaluator.objects_in_fault import ObjectsInFault, ObjectState
from eventalarm.evaluator.timer_rules import required_timers
from eventalarm.model import Alarm, Timer, TimerKind
from tests.support.builders import NOW, RESOURCE_TRAITS, alarm, at, definition
from tests.unit.evaluator.test_conditions import on

DOCUMENT = {"query": [on("x", "a")], "clear": {"query": [on("x", "b")]}, "at_least": 3, "objects": "vm"}


def edited(version: float, *, enabled: bool) -> Alarm:
    made = definition("alarm-1", DOCUMENT, type=NOTIFICATION_TYPE, version=version)
    return dataclasses.replace(alarm(enabled=enabled), definition=made)


def compiled(of: Alarm) -> CompiledRule:
    rule = compile_definition(of.definition, RESOURCE_TRAITS)
    assert isinstance(rule, CompiledRule)
    return rule


def test_an_alarm_that_is_disabled_and_enabled_again_keeps_its_objects_in_fault() -> None:
    """Fails if the objects are forgotten while the alarm is disabled: it would be raised too late."""
    first, disabled, enabled = edited(0, enabled=True), edited(1, enabled=False), edited(2, enabled=True)
    rule = compiled(first)
    assert rule.at_least is not None
    states = {name: ObjectState(at(-30), True) for name in ("vm-1", "vm-2")}
    document = ObjectsInFault(states, 3).document(rule.at_least)
    known = Timer("alarm-1", "c0", TimerKind.OBJECTS, first.definition.version, NOW, None, document)
    absence = Timer("alarm-1", "", TimerKind.ABSENCE, first.definition.version, NOW, at(60))
    assert required_timers(disabled, compiled(disabled), [known, absence], [], NOW) == ([], [absence])
    (kept,), gone = required_timers(enabled, compiled(enabled), [known], [], NOW)
    assert gone == []
    assert (kept.timer_id, kept.version, kept.due_at) == (known.timer_id, enabled.definition.version, None)
    assert ObjectsInFault.load(kept.event, rule.at_least).names == ("vm-1", "vm-2")
