"""Listeners on nodes of a Galera cluster, several of them written to, or behind HAProxy (G1 to G5, G9)."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventalarm.exceptions import Conflict, Retryable
from eventalarm.status.checks import Level
from eventalarm.status.database_server import check_server
from eventalarm.storage import connections, tables
from eventalarm.storage.database import Database, connect
from eventalarm.storage.outbox import Outbox
from eventalarm.trial.own_cloud.progress import Progress
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from eventalarm.trial.own_cloud.stage import Ground
from tests.functional.disruption.galera import MULTI, SINGLE, Front, behind_haproxy
from tests.functional.disruption.galera_disruptors import desynced
from tests.support.builders import rule
from tests.support.cloud import make_event
from tests.support.deliveries import make_delivery
from tests.support.engine_harness import EngineHarness, alarm_row, insert_alarms, open_database, read_table
from tests.support.galera import Galera
from tests.support.haproxy import UP
from tests.support.helpers import wait_until
from tests.support.outbox import done, enqueue, rows

PROJECT = "project-a"
ALARMS = 100
EVENTS = 150
# Rows that the other node takes some time to apply.
MANY = 100_000


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


def test_the_health_check_warns_of_sessions_that_do_not_wait_for_other_nodes(
    our_galera_urls: tuple[str, str],
) -> None:
    for setting, level in ((None, Level.OK), (0, Level.WARNING), (1, Level.WARNING), (7, Level.OK)):
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


def test_a_result_is_recorded_on_a_node_that_has_not_applied_the_claim(
    nodes: tuple[Database, Database], figure: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind HAProxy each connection leads to another node. A lost result would be sent again (G2)."""
    one, other = nodes
    # A ping waits for the other nodes; a busy thread does without, but this machine may be slow.
    for name in ("KEEP", "KEEP_UNASKED"):
        monkeypatch.setattr(connections, name, 60.0)
    with one.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE many (number INT PRIMARY KEY)")
    outboxes = Outbox(one), Outbox(other)
    outboxes[0].register("w1", "host", 1000.0)
    outboxes[1].hand_back("w1", ["none"])
    lost = 0
    for turn in range(3):
        item = make_delivery()
        with one.begin() as connection:
            first = turn * MANY + 1
            numbers = f"SELECT seq FROM seq_{first}_to_{first + MANY - 1}"
            connection.exec_driver_sql(f"INSERT INTO many {numbers}")
        (leased,) = enqueue(one, outboxes[0], [item], "w1")
        outboxes[1].record("w1", [done(leased)])
        lost += rows(one)[-1]["state"] != "delivered"
    figure(f"results recorded on a node that lags: {lost} of 3 lost")
    assert lost == 0


def test_statements_sent_together_are_all_rolled_back_when_another_node_wins(
    nodes: tuple[Database, Database],
) -> None:
    """MariaDB executes those behind the interrupted one in a new transaction, which it commits (G1, G2)."""
    one, other = nodes
    with one.begin() as connection:
        for table in ("contended", "behind"):
            connection.exec_driver_sql(f"CREATE TABLE {table} (number INT PRIMARY KEY, writer INT)")
        connection.exec_driver_sql("INSERT INTO contended VALUES (1, 0)")

    def win() -> None:
        sleeping = "SELECT 1 FROM information_schema.processlist WHERE info LIKE '%%SLEEP(20)%%' AND id != "
        with other.read() as connection:
            wait_until(lambda: connection.exec_driver_sql(f"{sleeping} CONNECTION_ID()").first())
        with one.begin() as connection:
            connection.exec_driver_sql("UPDATE contended SET writer = 1")

    winner = threading.Thread(target=win)
    winner.start()

    def write() -> None:
        with other.pipeline() as connection:
            connection.exec_driver_sql("UPDATE contended SET writer = 2")
            connection.exec_driver_sql("DO SLEEP(20)")
            connection.exec_driver_sql("INSERT INTO behind VALUES (1, 2)")

    with pytest.raises(Conflict):
        write()
    winner.join(60)
    with other.read() as connection:
        assert connection.exec_driver_sql("SELECT writer FROM contended").scalars().all() == [1]
        assert connection.exec_driver_sql("SELECT * FROM behind").all() == []


def test_the_health_check_refuses_several_writers_that_do_not_wait(
    galera: Galera, our_galera_urls: tuple[str, str], tmp_path: pathlib.Path
) -> None:
    front = Front(galera, tmp_path, MULTI)
    try:
        front.haproxy.wait_for(a=UP, b=UP, c=UP)
        for setting, level in ((None, Level.OK), (1, Level.FAILED)):
            opened = connect(front.url(our_galera_urls[0]), mysql_wsrep_sync_wait=setting)
            found = check_server(opened, 1024)
            opened.dispose()
            assert (found.level, "connections lead to a, b, c" in found.message) == (level, True)
        with desynced(galera, "b"):
            opened = connect(our_galera_urls[1])
            found = check_server(opened, 1024)
            opened.dispose()
            assert (found.level, "Donor/Desynced" in found.message) == (Level.WARNING, True)
    finally:
        front.close()


def test_nothing_is_lost_when_the_writer_behind_haproxy_is_killed_and_isolated(
    galera: Galera,
    our_galera_urls: tuple[str, str],
    rabbitmq: RabbitMQ,
    tmp_path: pathlib.Path,
    figure: Callable[[str], None],
) -> None:
    """G1, G2, G4, G5, G9 and order with real nodes; ``tox -e disrupt -- galera`` is the long form."""
    rabbitmq.start()
    ground = Ground(rabbitmq, galera, lambda: our_galera_urls[0])
    finding = behind_haproxy(
        ground,
        galera,
        tmp_path,
        Progress(),
        mode=SINGLE,
        disruptors=("killed", "isolated"),
        away=1.0,
        suspect=2.0,
    )
    for name, number in finding.figures.items():
        figure(f"Galera behind HAProxy: {name}: {number:.2f}")
    assert finding.wrong == []
