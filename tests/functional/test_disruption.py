"""The disruption rig in its short form: everything breaks once, and nothing is lost or doubled.

The long form is ``tox -e disrupt``. Generated data shows that the account finds every kind of error.
"""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from benchmarks.progress import Progress
from benchmarks.workload import AlarmSpec, EventSpec
from tests.functional.disruption import monitors, report, rig, scenarios
from tests.functional.disruption.account import (
    Blow,
    Row,
    StoredDelivery,
    commits_in_order,
    edits_stand,
    settle,
)
from tests.functional.disruption.consumers import TRAP, Receipt
from tests.functional.disruption.disruptors import STRIKES, Used
from tests.functional.disruption.stage import Ground
from tests.functional.disruption.stories import CHANGED, CLEARED, LATE, RAISED, Plan, Sent, Story, Writer
from tests.functional.disruption.users import Edited
from tests.support.databases import MariadbDatabases
from tests.support.services import MariaDB, RabbitMQ

Figure = Callable[[str], None]
NOON = datetime.datetime(2026, 1, 1, 12)
ALARM = AlarmSpec("p", "vm", "http://c/steady/a", repeat=True)


def at(second: float) -> datetime.datetime:
    return NOON + datetime.timedelta(seconds=second)


def story(outcome: dict[str, str], *others: dict[str, str]) -> Story:
    events = [Sent(EventSpec("p", "vm", message)) for message in ("m1", "m2")]
    return Story(
        "told",
        0.0,
        ALARM,
        [[one] for one in events],
        [{message: frozenset({kind}) for message, kind in one.items()} for one in (outcome, *others)],
    )


def row(message: str, kind: str, second: float) -> Row:
    return Row(f"t-{message}", ALARM.alarm_id, message, kind, at(second), at(second), "name")


def stored(seq: int, message: str, state: str = "delivered") -> StoredDelivery:
    return StoredDelivery(seq, f"d-{message}", f"t-{message}", ALARM.action, state, 1)


def receipt(message: str, began: float, status: int = 200, path: str = "/steady/a") -> Receipt:
    return Receipt(began, began, "steady", path, f"d-{message}", message, status)


STORY = story({"m1": RAISED, "m2": CHANGED})
ROWS = (row("m1", RAISED, 1), row("m2", CHANGED, 2))
DELIVERIES = (stored(1, "m1"), stored(2, "m2"))
RECEIPTS = (receipt("m1", 1.0), receipt("m2", 2.0))
SWAPPED = (receipt("m1", 2.0), receipt("m2", 1.0))


@pytest.mark.parametrize(
    ("rows", "deliveries", "receipts", "errors"),
    [
        (ROWS, DELIVERIES, RECEIPTS, {}),
        (ROWS[:1], DELIVERIES[:1], RECEIPTS[:1], {"lost transition": 1}),
        (ROWS, DELIVERIES[:1], RECEIPTS[:1], {"lost delivery": 1}),
        (ROWS, DELIVERIES, RECEIPTS[:1], {"lost delivery": 1}),
        (ROWS, (DELIVERIES[0], stored(2, "m2", "failed")), RECEIPTS[:1], {"lost delivery": 1}),
        (ROWS, (DELIVERIES[0], stored(2, "m2", "failed")), (RECEIPTS[0], receipt("m2", 2.0, 410)), {}),
        (ROWS, (DELIVERIES[0], stored(2, "m2", "pending")), RECEIPTS, {"unfinished delivery": 1}),
        ((*ROWS, ROWS[1]), DELIVERIES, RECEIPTS, {"doubled transition": 1}),
        (ROWS, (*DELIVERIES, DELIVERIES[1]), RECEIPTS, {"doubled delivery row": 1}),
        (ROWS, DELIVERIES, (*RECEIPTS, receipt("m2", 9.0)), {"doubled delivery": 1}),
        (ROWS, DELIVERIES, (*RECEIPTS, receipt("m2", 1.9, 503)), {}),
        (ROWS, DELIVERIES, SWAPPED, {"reordered delivery": 1}),
        (
            (*ROWS, row("m3", CHANGED, 3)),
            DELIVERIES,
            RECEIPTS,
            {"invented transition": 1, "lost delivery": 1},
        ),
        (ROWS, DELIVERIES, (*RECEIPTS, receipt("m3", 3.0)), {"invented delivery": 1}),
        ((ROWS[0], row("m2", CLEARED, 2)), DELIVERIES, RECEIPTS, {"wrong transition": 1}),
        (ROWS, DELIVERIES, (*RECEIPTS, receipt("m2", 1.9, 307, TRAP)), {"redirect followed": 1}),
    ],
)
def test_the_account_finds_each_kind_of_error(
    rows: Sequence[Row],
    deliveries: Sequence[StoredDelivery],
    receipts: Sequence[Receipt],
    errors: dict[str, int],
) -> None:
    account = settle([STORY], rows, deliveries, receipts, [])
    assert account.errors == errors
    assert account.right is not bool(errors)


def test_each_legal_outcome_is_accepted() -> None:
    race = story({"m1": RAISED, "m2": CLEARED}, {"m1": LATE})
    assert settle([race], [row("m1", LATE, 1)], [], [], []).right
    assert settle([race], [row("m1", RAISED, 1)], DELIVERIES[:1], RECEIPTS[:1], []).errors == {
        "lost transition": 1
    }


def test_a_late_transition_requires_an_earlier_newer_one() -> None:
    late = story({"m1": LATE, "m2": RAISED})
    legal = settle([late], [row("m1", LATE, 1), row("m2", RAISED, 2)], DELIVERIES[1:], RECEIPTS[1:], [])
    assert legal.right
    wrong = settle([late], [row("m1", LATE, 3), row("m2", RAISED, 2)], DELIVERIES[1:], RECEIPTS[1:], [])
    assert wrong.errors == {"wrong transition": 1}


@pytest.mark.parametrize(("blow", "right"), [(2.5, True), (1.5, True), (6.0, False), (0.1, False)])
def test_a_repeat_is_accepted_only_if_a_process_died_before_recording(blow: float, right: bool) -> None:
    repeated = (*RECEIPTS, receipt("m2", 9.0))
    account = settle([STORY], ROWS, DELIVERIES, repeated, [Blow(blow, blow, "kill")])
    assert account.right is right
    assert account.repeated == ["d-m2"]
    assert account.numbers["accepted POSTs repeated: kill"] == int(right)


def test_commits_out_of_order_and_lost_edits_are_found() -> None:
    account = settle([STORY], ROWS, DELIVERIES, RECEIPTS, [])
    commits_in_order(account, ROWS, (stored(2, "m1"), stored(1, "m2")))
    assert account.errors == {"reordered transition": 1}
    edits = [
        Edited("a", "rename", {"name": "new"}, "m1"),
        Edited("b", "disable", {"enabled": False}, "m2"),
        Edited("c", "delete", {}, "m3"),
    ]
    edits_stand(account, edits, {"a": {"name": "new"}, "b": {"enabled": True}, "c": {}}, {"m1": ("old", "")})
    assert account.errors == {"reordered transition": 1, "edit ignored": 1, "edit lost": 2}


def test_recoveries_are_measured_from_when_the_struck_part_works_again() -> None:
    used = [
        Used("kill mariadb", "", 1.0, 2.0),
        Used("kill mariadb", "", 5.0, 6.0, alone=False),
        Used("kill listener", "", 8.0, 9.0, held=2, taken_over=11.0),
    ]
    found = monitors.recoveries(used, [1.5, 2.5, 9.25], [(1.9, "a"), (8.0, "a")])
    assert [(one.name, one.times, one.commits, one.deliveries) for one in found] == [
        ("kill listener", 1, (0.25,), ()),
        ("kill mariadb", 2, (0.5,), (6.0,)),
    ]
    assert len(rig.missed(found, lease=10.0)) == 2
    assert len(rig.missed(found, lease=12.0)) == 1


def test_stories_are_determined_by_their_seed() -> None:
    def stories_of(seed: int) -> list[Story]:
        return list(Writer(Plan(seed, 60.0, 20.0), ["http://c/a"]).stories())

    assert stories_of(1) == stories_of(1)
    assert stories_of(1) != stories_of(2)
    assert {one.name for one in stories_of(1)} == set(Writer.WEIGHTS)


@pytest.fixture
def ground(rabbitmq: RabbitMQ, mariadb: MariaDB, tmp_path: pathlib.Path) -> Ground:
    rabbitmq.start()
    mariadb.start()
    databases = MariadbDatabases(mariadb, tmp_path)
    return Ground(rabbitmq, mariadb, databases.with_ours)


def test_everything_breaks_once_and_nothing_is_lost(
    ground: Ground, tmp_path: pathlib.Path, figure: Figure
) -> None:
    """G1, G2, G3, G4, G5, G7, G9 at once. Fails when a failed batch is acknowledged instead of held."""
    short: dict[str, Any] = {
        "rounds": 1,
        "together": 0.0,
        "patience": 40.0,
        "pause": (0.5, 1.0),
        "outage": (0.0, 4.0),
    }
    setup = rig.Setup(seconds=30.0, rate=25.0, lease=4.0, **short)
    result = rig.run(ground, tmp_path, setup, Progress())
    for name, number in report.sums(result).items():
        figure(f"disruption: {name}: {number:,.0f}")
    assert result.account.problems == []
    assert result.missed == []
    assert {one.name for one in result.recoveries} >= {"kill listener", "kill RabbitMQ", "kill mariadb"}
    assert len([one for one in result.recoveries if not one.name.startswith("consumer")]) == len(STRIKES)


def test_hung_destinations_do_not_delay_a_healthy_one(
    ground: Ground, tmp_path: pathlib.Path, figure: Figure
) -> None:
    """Fails when any project may use all calls: the healthy one takes 80 times as long."""
    finding = scenarios.isolation(ground, tmp_path, Progress(), seconds=6.0, rate=25.0, rounds=(1, 4))
    for name, number in finding.figures.items():
        figure(f"isolation: {name}: {number:.2f}")
    assert finding.wrong == []


def test_a_hostile_tenant_does_not_delay_another(
    ground: Ground, tmp_path: pathlib.Path, figure: Figure
) -> None:
    finding = scenarios.beside_a_hostile_tenant(
        ground, tmp_path, Progress(), seconds=4.0, rate=25.0, rounds=(3, 10)
    )
    for name, number in finding.figures.items():
        figure(f"hostile: {name}: {number:.2f}")
    assert finding.wrong == []


def test_a_backlog_is_processed_in_bounded_memory(
    ground: Ground, tmp_path: pathlib.Path, figure: Figure
) -> None:
    """Every event counts once, and the memory for the backlog is bounded."""
    finding = scenarios.backlog(ground, tmp_path, Progress(), events=8_000)
    for name, number in finding.figures.items():
        figure(f"backlog: {name}: {number:,.0f}")
    assert finding.wrong == []


def test_a_result_that_missed_a_target_is_a_failure() -> None:
    account = settle([STORY], ROWS, DELIVERIES, RECEIPTS, [])
    result = rig.Result(rig.Setup(), "mariadb", account, [], monitors.memory([]), [], {}, [])
    assert result.right
    assert not dataclasses.replace(result, missed=["too slow"]).right
