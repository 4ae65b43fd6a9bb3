"""Two listeners on two nodes of a Galera cluster, both written to (G2, G3, G4)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventalarm.exceptions import Retryable
from eventalarm.status.checks import Level
from eventalarm.status.database import check_server
from eventalarm.storage import tables
from eventalarm.storage.database import Database, connect
from tests.support.builders import rule
from tests.support.cloud import make_event
from tests.support.engine_harness import EngineHarness, alarm_row, insert_alarms, open_database, read_table

PROJECT = "project-a"
ALARMS = 100
EVENTS = 150


@pytest.fixture
def nodes(our_galera_urls: tuple[str, str]) -> Iterator[tuple[Database, Database]]:
    one, other = our_galera_urls
    with open_database(one) as first, open_database(other) as second:
        yield first, second


def event(alarm: int, place: str, state: str) -> dict[str, Any]:
    return make_event(f"{place}-{alarm}", state, project=PROJECT, group=f"g{alarm}")


def until_done(harness: EngineHarness, *events: dict[str, Any]) -> int:
    """Evaluate as the listener does, repeatedly while the database fails; return the number of failures."""
    failures = 0
    while True:
        try:
            assert not harness.process(*events).reasons["refused"]
        except Retryable:
            failures += 1
        else:
            return failures


def test_two_objects_that_recover_at_once_on_two_nodes_clear_their_alarm(
    nodes: tuple[Database, Database], figure: Callable[[str], None]
) -> None:
    names = [f"a{n}" for n in range(ALARMS)]
    rows = [
        alarm_row(name, rule=rule("*", state="error", group=f"g{n}"), ok_actions=["http://ok"])
        for n, name in enumerate(names)
    ]
    insert_alarms(nodes[0], *rows)
    harnesses = [EngineHarness(node) for node in nodes]
    until_done(harnesses[0], *(event(n, place, "error") for n in range(ALARMS) for place in ("x", "y")))
    for harness in harnesses:
        until_done(harness, event(-1, "nowhere", "error"))
    barrier = threading.Barrier(2)
    failures = [0, 0]

    def recover(which: int, place: str) -> None:
        for n in range(ALARMS):
            barrier.wait(60)
            failures[which] += until_done(harnesses[which], event(n, place, "active"))

    threads = [threading.Thread(target=recover, args=each) for each in ((0, "x"), (1, "y"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    stuck = [row["alarm_id"] for row in read_table(nodes[0], tables.alarm) if row["state"] != "ok"]
    figure(
        f"two objects recover at once on two nodes: {len(stuck)} of {ALARMS} alarms stay in alarm; "
        f"{sum(failures)} batches held for a pause"
    )
    assert stuck == []
    assert read_table(nodes[0], tables.occurrence, raised=True) == []
    assert sum(len(harness.sent) for harness in harnesses) == 2 * ALARMS
    assert {row["raised"] for row in read_table(nodes[0], tables.alarm_count)} == {0}


def test_the_health_check_warns_of_reads_that_do_not_wait_for_other_nodes(
    our_galera_urls: tuple[str, str],
) -> None:
    for setting, level in ((None, Level.OK), (0, Level.WARNING), (7, Level.OK)):
        opened = connect(our_galera_urls[1], mysql_wsrep_sync_wait=setting)
        found = check_server(opened, 1024 * 1024)
        opened.dispose()
        assert found.level is level, found.message


def test_an_alarm_created_by_one_node_fires_by_the_other(
    nodes: tuple[Database, Database], figure: Callable[[str], None]
) -> None:
    api, listener = nodes[0], EngineHarness(nodes[1])
    until_done(listener, event(-1, "nowhere", "error"))
    for n in range(EVENTS):
        insert_alarms(api, alarm_row(f"a{n}", rule=rule("*", state="error", group=f"g{n}")))
        until_done(listener, event(n, "x", "error"))
    missed = EVENTS - len(listener.sent)
    figure(f"alarm created by one node, event evaluated by the other: {missed} of {EVENTS} missed")
    assert missed == 0
