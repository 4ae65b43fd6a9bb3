"""The disruption rig in its short form: everything breaks once, and nothing is lost or doubled.

The long form is ``tox -e disrupt``. ``tests/unit/test_history.py`` shows that the check of its histories
finds every kind of error.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from eventalarm.trial.history.availability import cells
from eventalarm.trial.history.verdict import Verdict
from eventalarm.trial.own_cloud import monitors, report, rig
from eventalarm.trial.own_cloud.disruptors import STRIKES
from eventalarm.trial.own_cloud.load.stories import Plan, Story, Writer
from eventalarm.trial.own_cloud.progress import Progress
from eventalarm.trial.own_cloud.services.restartable import MariaDB, PostgreSQL, RabbitMQ
from eventalarm.trial.own_cloud.stage import Ground
from eventalarm.trial.own_cloud.striker import Used
from tests.functional.disruption import scenarios
from tests.functional.disruption.host_down import host_down
from tests.functional.disruption.outbox_scenarios import beside_the_expirer

Figure = Callable[[str], None]


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
def ground(rabbitmq: RabbitMQ, mariadb: MariaDB, our_mariadb_url: str) -> Ground:
    rabbitmq.start()
    return Ground(rabbitmq, mariadb, lambda: our_mariadb_url)


def test_everything_breaks_once_and_nothing_is_lost(
    ground: Ground, tmp_path: pathlib.Path, figure: Figure
) -> None:
    """G1, G2, G3, G4, G5, G7, G9 at once. Fails when a failed batch is acknowledged instead of held."""
    short: dict[str, Any] = {
        "rounds": 1,
        "together": 0.0,
        "patience": 40.0,
        "pause": (0.2, 0.5),
        "outage": (0.5, 2.0),
    }
    setup = rig.Setup(seconds=20.0, rate=35.0, lease=3.0, **short)
    result = rig.run(ground, tmp_path, setup, Progress())
    for name, number in report.sums(result).items():
        figure(f"disruption: {name}: {number:,g}")
    for row in result.rows:
        figure(f"disruption: {' | '.join(cells(row))}")
    assert result.verdict.problems == []
    assert result.missed == []
    assert {one.name for one in result.recoveries} >= {"kill listener", "kill RabbitMQ", "kill mariadb"}
    assert len([one for one in result.recoveries if not one.name.startswith("consumer")]) == len(STRIKES)


def test_hung_destinations_do_not_delay_a_healthy_one(
    ground: Ground, tmp_path: pathlib.Path, figure: Figure
) -> None:
    """Fails when any project may use all calls: the healthy one takes 80 times as long."""
    finding = scenarios.isolation(ground, tmp_path, Progress(), seconds=4.0, rate=40.0, rounds=(1, 10))
    for name, number in finding.figures.items():
        figure(f"isolation: {name}: {number:.2f}")
    assert finding.wrong == []


def test_a_hostile_tenant_does_not_delay_another(
    ground: Ground, tmp_path: pathlib.Path, figure: Figure
) -> None:
    finding = scenarios.beside_a_hostile_tenant(
        ground, tmp_path, Progress(), seconds=2.5, rate=40.0, rounds=(3, 10), dead_names=30
    )
    for name, number in finding.figures.items():
        figure(f"hostile: {name}: {number:.2f}")
    assert finding.wrong == []


def test_a_backlog_is_processed_in_bounded_memory(
    ground: Ground, tmp_path: pathlib.Path, figure: Figure
) -> None:
    """Every event counts once, and the memory for the backlog is bounded."""
    finding = scenarios.backlog(ground, tmp_path, Progress(), events=5_000)
    for name, number in finding.figures.items():
        figure(f"backlog: {name}: {number:,.0f}")
    assert finding.wrong == []


def test_alarms_fire_while_the_expirer_removes_old_rows(
    ground: Ground, tmp_path: pathlib.Path, figure: Figure
) -> None:
    """Fails if what is new is removed too, or if a transaction of the expirer locks what listeners need."""
    finding = beside_the_expirer(ground, tmp_path, Progress(), rows=8_000, seconds=0.8, batch_size=50)
    for name, number in finding.figures.items():
        figure(f"expirer: {name}: {number:,.2f}")
    assert finding.wrong == []


def test_every_owner_on_a_dead_host_is_notified_once(
    rabbitmq: RabbitMQ,
    postgresql: PostgreSQL,
    our_postgresql_url: str,
    tmp_path: pathlib.Path,
    figure: Figure,
) -> None:
    """The whole way on PostgreSQL. Fails if the inspector acknowledges a message before it has published."""
    rabbitmq.start()
    ground = Ground(rabbitmq, postgresql, lambda: our_postgresql_url)
    finding = host_down(ground, tmp_path, Progress(), servers=50, kills=1, listeners=1)
    for name, number in finding.figures.items():
        figure(f"host-down: {name}: {number:.2f}")
    assert finding.wrong == []


def test_a_result_that_missed_a_target_is_a_failure() -> None:
    result = rig.Result(rig.Setup(), "mariadb", Verdict(), [], monitors.memory([]), [], {}, [])
    assert result.right
    assert not dataclasses.replace(result, missed=["too slow"]).right
