"""The check of histories finds each kind of error, and nothing in a correct history.

Each bad history is made from a correct one by one change, and is found only by the checks named with it.
"""

from __future__ import annotations

import ast
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest

from tests.functional.disruption.history import __main__ as command
from tests.functional.disruption.history import (
    delivery_checks,
    latency,
    records,
    transition_checks,
    user_checks,
)
from tests.functional.disruption.history.check import CHECKS, check
from tests.functional.disruption.history.facts import awaited
from tests.functional.disruption.history.records import (
    Alarm,
    Committed,
    Delivery,
    Edit,
    Event,
    Final,
    History,
    HistoryError,
    Publish,
    Receipt,
    Record,
    Run,
    Strike,
    Transition,
)
from tests.functional.disruption.history.verdict import ERRORS, Check

NOON = 1_767_268_800.0
T = TypeVar("T")
Change = Callable[[list[Any]], list[Any]]


def alarm(name: str, project: str = "p", resource: str = "vm", **fields: Any) -> Alarm:
    return Alarm(NOON - 60, name, project, resource, "error", name, (f"http://c:1/steady/{name}",), **fields)


def publish(at: float, *events: Event) -> Publish:
    return Publish(NOON + at, NOON + at + 0.01, events)


def event(message: str, at: float, state: str = "error", project: str = "p", resource: str = "vm") -> Event:
    return Event(message, project, resource, state, NOON + at)


def row(name: str, message: str, kind: str, at: float, recorded: float | None = None) -> Transition:
    moment = NOON + (at + 0.05 if recorded is None else recorded)
    return Transition(f"t-{name}-{message}", name, message, kind, NOON + at, moment, name)


def delivery(seq: int, name: str, message: str, state: str = "delivered") -> Delivery:
    return Delivery(seq, f"d-{name}-{message}", f"t-{name}-{message}", f"http://c:1/steady/{name}", state, 1)


def receipt(name: str, message: str, at: float, status: int = 200) -> Receipt:
    moment = NOON + at
    return Receipt(moment, moment, "steady", f"/steady/{name}", f"d-{name}-{message}", message, status)


# ``often`` fires thrice, the second event late; ``clears`` recovers; ``edited`` is renamed, then disabled;
# ``other`` watches the same resource name in another project.
GOOD: tuple[Record, ...] = (
    Run("good"),
    alarm("often", repeats=True),
    alarm("clears", resource="disk", clears=True),
    alarm("edited", resource="net", repeats=True),
    alarm("other", project="q", repeats=True),
    publish(1, event("m1", 1)),
    publish(1.5, event("m3", 3)),
    publish(2, event("m2", 1.2)),
    publish(2, event("m2", 1.2)),
    publish(4, event("fault", 4, resource="disk")),
    Committed(NOON + 4.5, ("fault",)),
    publish(5, event("recovery", 5, "active", resource="disk")),
    publish(6, event("e1", 6, resource="net")),
    Committed(NOON + 6.5, ("e1",)),
    Edit(NOON + 7, NOON + 7.1, "edited", {"name": "renamed"}),
    publish(8, event("e2", 8, resource="net")),
    Committed(NOON + 8.5, ("e2",)),
    Edit(NOON + 9, NOON + 9.1, "edited", {"enabled": False}),
    publish(10, event("e3", 10, resource="net")),
    publish(11, event("q1", 11, project="q")),
    row("often", "m1", "raised", 1),
    row("often", "m3", "changed", 1.6),
    row("often", "m2", "late", 1.2, 2.1),
    row("clears", "fault", "raised", 4),
    row("clears", "recovery", "cleared", 5),
    row("edited", "e1", "raised", 6),
    dataclasses.replace(row("edited", "e2", "raised", 8), alarm_name="renamed"),
    row("other", "q1", "raised", 11),
    delivery(1, "often", "m1"),
    delivery(2, "often", "m3"),
    delivery(3, "clears", "fault"),
    delivery(4, "clears", "recovery"),
    delivery(5, "edited", "e1"),
    delivery(6, "edited", "e2"),
    delivery(7, "other", "q1", "failed"),
    receipt("often", "m1", 1.1),
    receipt("often", "m3", 1.7),
    receipt("clears", "fault", 4.1),
    receipt("clears", "recovery", 5.1),
    receipt("edited", "e1", 6.1),
    receipt("edited", "e2", 8.1, 503),
    receipt("edited", "e2", 8.2),
    receipt("other", "q1", 11.1, 410),
    Final("edited", True, {"name": "renamed", "enabled": False}),
)


def place_of(kind: type[T], found: Sequence[Any], **fields: Any) -> int:
    return next(
        number
        for number, one in enumerate(found)
        if isinstance(one, kind) and all(getattr(one, name) == value for name, value in fields.items())
    )


def without(kind: type[Any], **fields: Any) -> Change:
    return lambda found: [one for n, one in enumerate(found) if n != place_of(kind, found, **fields)]


def plus(*more: Record) -> Change:
    return lambda found: [*found, *more]


def but(change: dict[str, Any], kind: type[Any], **fields: Any) -> Change:
    def changed(found: list[Any]) -> list[Any]:
        place = place_of(kind, found, **fields)
        found = list(found)
        found[place] = dataclasses.replace(found[place], **change)
        return found

    return changed


def each(*changes: Change) -> Change:
    def all_of(found: list[Any]) -> list[Any]:
        for change in changes:
            found = change(found)
        return found

    return all_of


def no_trace(message: str) -> Change:
    """Remove the transition of an event, its delivery and its webhook."""
    return lambda found: [
        one
        for one in found
        if not (isinstance(one, Transition | Receipt) and one.message_id == message)
        and not (isinstance(one, Delivery) and one.delivery_id.endswith(f"-{message}"))
    ]


def anew(message: str, name: str, kind: str, at: float, seq: int) -> Change:
    """Add a transition with its delivery and its webhook."""
    return plus(row(name, message, kind, at), delivery(seq, name, message), receipt(name, message, at + 0.1))


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


def test_a_history_is_the_same_after_a_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "new" / "history.jsonl"
    History(list(GOOD)).write(path)
    assert len(path.read_text().splitlines()) == len(GOOD)
    assert records.read(path).records == list(GOOD)


@pytest.mark.parametrize("text", ["{", "{}", '{"record": "x"}', '{"record": "run"}', "[]"])
def test_a_line_that_is_not_a_record_is_named(text: str) -> None:
    with pytest.raises(HistoryError, match="line 2"):
        records.parse([records.line(GOOD[0]), text])


def test_a_file_is_checked_again_by_command(tmp_path: pathlib.Path) -> None:
    good, bad, broken = (tmp_path / name for name in ("good", "bad", "broken"))
    History(list(GOOD)).write(good)
    History(no_trace("m1")(list(GOOD))).write(bad)
    broken.write_text("{")
    lines: list[str] = []
    assert command.main([str(good)], lines.append) == 0
    assert "nothing lost" in lines[-1]
    assert command.main([str(good), str(bad)], lines.append) == 1
    assert "  WRONG G1: lost transition: alarm often, event m1" in lines
    assert command.main([str(broken)], lines.append) == 2
    assert "line 1" in lines[-1]
    assert command.main([], lines.append) == 2


def test_a_history_is_checked_without_eventalarm() -> None:
    """The standard library suffices, so that a deployer can check a file anywhere."""
    for path in pathlib.Path(records.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                outside = name.partition(".")[0] not in sys.stdlib_module_names
                assert not outside or name.startswith("tests.functional.disruption.history"), (path, name)


def test_detection_is_measured_where_nothing_is_broken() -> None:
    times = latency.detections(History(list(GOOD)), "steady", "")
    assert times == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.2, 0.2], abs=1e-6)
    assert latency.detections(History(list(GOOD)), "moody", "") == []
    struck = Strike(NOON + 5.5, NOON + 6, "kill", ends_process=False)
    assert len(latency.detections(History([*GOOD, struck]), "steady", "")) == 4
    assert len(latency.detections(History([*GOOD, struck]), "steady", "kill")) == 6


@pytest.mark.parametrize(("seconds", "level"), [(0.1, 1), (6.0, 1), (6.1, 2), (15.0, 2), (25.0, 3)])
def test_recoveries_are_compared_with_the_levels_of_etsi(seconds: float, level: int) -> None:
    assert latency.level(seconds) == f"SAL {level}"
    assert latency.level(25.1) == "none"
