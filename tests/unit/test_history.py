"""The check of histories finds each kind of error, and nothing in a correct history.

Each bad history is made from a correct one by one change, and is found only by the checks named with it.
"""

from __future__ import annotations

import dataclasses

import pytest

from eventalarm.trial.history import (
    delivery_checks,
    transition_checks,
    user_checks,
)
from eventalarm.trial.history.check import CHECKS, check
from eventalarm.trial.history.facts import Facts, awaited
from eventalarm.trial.history.records import (
    Alarm,
    Committed,
    Delivery,
    Edit,
    Final,
    History,
    Receipt,
    Record,
    Run,
    Strike,
    Transition,
)
from eventalarm.trial.history.verdict import ERRORS, Check
from tests.support.histories import (
    GOOD,
    NOON,
    Change,
    anew,
    but,
    delivery,
    each,
    event,
    no_trace,
    plus,
    publish,
    receipt,
    row,
    without,
)

late_undoes = each(
    but({"kind": "changed"}, Transition, message_id="m2"),
    plus(delivery(8, "often", "m2"), receipt("often", "m2", 2.2)),
)
recovery_lost = each(without(Committed, message_ids=("fault",)), no_trace("recovery"))
crossed = each(without(Transition, message_id="q1"), plus(row("often", "q1", "changed", 11)))
swapped = each(
    but({"began": NOON + 1.8}, Receipt, message_id="m1"), but({"began": NOON + 1.2}, Receipt, message_id="m3")
)

BAD: dict[str, tuple[Change, dict[str, int], Check]] = {
    "a lost transition": (
        no_trace("m1"),
        {"lost transition": 1, "wrong kind": 1},
        transition_checks.required_transitions,
    ),
    "a transition of a disabled alarm that was read and then lost": (
        no_trace("e2"),
        {"lost transition": 1},
        transition_checks.required_transitions,
    ),
    "a lost recovery": (
        no_trace("recovery"),
        {"lost transition": 1, "newest event ignored": 1},
        transition_checks.required_transitions,
    ),
    "a doubled transition": (
        plus(row("often", "m2", "late", 1.2, 2.2)),
        {"doubled transition": 1},
        transition_checks.single_transitions,
    ),
    "a transition that no event caused": (
        anew("m9", "often", "changed", 12, 9),
        {"invented transition": 1},
        transition_checks.caused_transitions,
    ),
    "a healthy state that raises": (
        each(plus(publish(12, event("h", 12, "active", project="q"))), anew("h", "other", "changed", 12, 9)),
        {"invented transition": 1},
        transition_checks.caused_transitions,
    ),
    "an event of another project": (
        crossed,
        {"lost transition": 1, "cross-tenant transition": 1, "lost delivery": 1},
        user_checks.tenants_apart,
    ),
    "a webhook at the action of another project": (
        but({"action": "http://c:1/steady/other"}, Delivery, delivery_id="d-often-m1"),
        {"cross-tenant delivery": 2, "edit ignored": 1},
        user_checks.tenants_apart,
    ),
    "a webhook at the wrong path": (
        but({"path": "/steady/other"}, Receipt, message_id="m1"),
        {"cross-tenant delivery": 1},
        user_checks.tenants_apart,
    ),
    "a redirect that was followed": (
        plus(dataclasses.replace(receipt("often", "m1", 1.05, 307), path=user_checks.TRAP)),
        {"redirect followed": 1},
        user_checks.tenants_apart,
    ),
    "an alarm that fires after it was disabled": (
        anew("e3", "edited", "changed", 10, 9),
        {"edit ignored": 1},
        user_checks.edits_apply,
    ),
    "an alarm that fires under its old name": (
        but({"alarm_name": "edited"}, Transition, message_id="e2"),
        {"edit ignored": 1},
        user_checks.edits_apply,
    ),
    "an alarm that calls its old action": (
        but({"fields": {"name": "renamed", "actions": ["http://c:1/moved"]}}, Edit, began=NOON + 7),
        {"edit ignored": 1, "edit lost": 1},
        user_checks.edits_apply,
    ),
    "an edit that was overwritten": (
        but({"fields": {"name": "edited", "enabled": False}}, Final),
        {"edit lost": 1},
        user_checks.edits_stand,
    ),
    "a deletion that was undone": (
        but({"fields": {}, "deleted": True}, Edit, began=NOON + 9),
        {"edit lost": 1},
        user_checks.edits_stand,
    ),
    "the time of another event": (
        but({"event_time": NOON + 100}, Transition, message_id="q1"),
        {"wrong event time": 1},
        transition_checks.event_times,
    ),
    "a late event that nothing overtook": (
        but({"recorded_at": NOON - 5}, Transition, message_id="m2"),
        {"not late": 1},
        transition_checks.late_transitions,
    ),
    "a late event that undoes a newer state": (
        late_undoes,
        {"newer state undone": 1},
        transition_checks.commits_in_order,
    ),
    "a recovery that an alarm ignored": (
        recovery_lost,
        {"newest event ignored": 1},
        transition_checks.newest_event_counts,
    ),
    "a second raise": (
        but({"kind": "raised"}, Transition, message_id="m3"),
        {"wrong kind": 1},
        transition_checks.kinds_follow,
    ),
    "a lost delivery": (
        each(without(Delivery, delivery_id="d-often-m3"), without(Receipt, message_id="m3")),
        {"lost delivery": 1},
        delivery_checks.deliveries_complete,
    ),
    "a doubled delivery row": (
        plus(
            dataclasses.replace(delivery(9, "clears", "recovery"), delivery_id="d-2"),
            dataclasses.replace(receipt("clears", "recovery", 5.2), delivery_id="d-2"),
        ),
        {"doubled delivery row": 1},
        delivery_checks.deliveries_complete,
    ),
    "a webhook that never arrived": (
        without(Receipt, message_id="m1"),
        {"lost delivery": 1},
        delivery_checks.deliveries_complete,
    ),
    "a delivery that was given up": (
        but({"state": "failed"}, Delivery, delivery_id="d-often-m1"),
        {"lost delivery": 1},
        delivery_checks.deliveries_complete,
    ),
    "a delivery that never ended": (
        but({"state": "leased"}, Delivery, delivery_id="d-often-m1"),
        {"unfinished delivery": 1},
        delivery_checks.deliveries_complete,
    ),
    "a webhook without a delivery": (
        plus(receipt("often", "m9", 12)),
        {"invented delivery": 1},
        delivery_checks.deliveries_complete,
    ),
    "a webhook accepted twice": (
        plus(receipt("often", "m3", 9)),
        {"doubled delivery": 1},
        delivery_checks.repeats_explained,
    ),
    "webhooks in the wrong order": (
        swapped,
        {"reordered delivery": 1},
        delivery_checks.deliveries_in_order,
    ),
}


def test_a_correct_history_has_no_error() -> None:
    verdict = check(History(list(GOOD)))
    assert verdict.problems == []
    assert verdict.right
    expected = {"events": 9, "transitions": 8, "late transitions": 1, "deliveries": 7, "edits": 2}
    assert {name: verdict.numbers[name] for name in expected} == expected


@pytest.mark.parametrize("name", BAD)
def test_each_bad_history_is_found(name: str) -> None:
    change, errors, found_by = BAD[name]
    bad = History(change(list(GOOD)))
    assert check(bad).errors == errors
    assert not check(bad).right
    rest = check(bad, [one for one in CHECKS if one is not found_by])
    assert rest.errors != errors, "another check finds the same"


def test_every_kind_of_error_and_every_check_has_a_bad_history() -> None:
    assert {kind for _, errors, _ in BAD.values() for kind in errors} == set(ERRORS)
    assert {found_by for _, _, found_by in BAD.values()} == set(CHECKS)


@pytest.mark.parametrize(("at", "right"), [(2.5, True), (1.5, True), (6.0, False), (0.1, False)])
def test_a_repeat_is_accepted_only_if_a_process_ended_before_recording(at: float, right: bool) -> None:
    struck = Strike(NOON + at, NOON + at, "kill")
    repeated = [*GOOD, receipt("often", "m3", 9), struck]
    verdict = check(History(repeated))
    assert verdict.right is right
    assert verdict.repeated == ["d-often-m3"]
    assert verdict.numbers["accepted POSTs repeated: kill"] == int(right)
    harmless = dataclasses.replace(struck, ends_process=False)
    assert not check(History([*repeated[:-1], harmless])).right


def test_an_edit_without_an_answer_may_have_been_made_or_not() -> None:
    unanswered = but({"ended": None}, Edit, began=NOON + 9)(list(GOOD))
    assert check(History(unanswered)).right
    fired = anew("e3", "edited", "changed", 10, 9)(unanswered)
    assert check(History(but({"alarm_name": "renamed"}, Transition, message_id="e3")(fired))).right
    other = but({"fields": {"name": "renamed", "enabled": True}}, Final)(unanswered)
    assert check(History(other)).right
    assert not check(History(but({"fields": {"name": "old", "enabled": True}}, Final)(other))).right


def test_edits_that_may_not_have_been_made_count_by_their_effect() -> None:
    alarm = next(one for one in GOOD if isinstance(one, Alarm))
    edits = [Edit(NOON - 30, None, alarm.alarm_id, {"name": f"name {number % 2}"}) for number in range(15)]
    facts = Facts(History([*GOOD, *edits]))
    versions = facts.versions(alarm, facts.events_on(alarm)[0])
    assert {one.name for one in versions} == {alarm.name, "name 0", "name 1"}
    assert len(versions) == 3


def test_deliveries_to_an_unreliable_consumer_may_be_given_up() -> None:
    given_up = but({"state": "failed"}, Delivery, delivery_id="d-often-m1")(list(GOOD))
    unreliable = but({"unreliable": ("http://c:1/steady/often",)}, Run)(given_up)
    assert check(History(unreliable)).right


def test_wrong_clocks_widen_what_is_accepted() -> None:
    skewed = but({"event_time": NOON + 6}, Transition, message_id="q1")(list(GOOD))
    assert check(History(skewed)).errors == {"wrong event time": 1}
    assert check(History(but({"skew": 5.0}, Run)(skewed))).right


def test_a_repeat_message_or_a_race_requires_no_more_than_must_happen() -> None:
    assert awaited(History(list(GOOD))) == {"m1", "m2", "m3", "fault", "recovery", "e1", "e2", "q1"}
    race: list[Record] = [one for one in GOOD if not isinstance(one, Committed)]
    assert awaited(History(race)) == {"m1", "m2", "m3", "fault", "q1"}
    lost = without(Transition, message_id="fault")(no_trace("recovery")(race))
    late = [one for one in lost if getattr(one, "delivery_id", "") != "d-clears-fault"]
    assert check(History([*late, row("clears", "fault", "late", 4, 5.5)])).right
