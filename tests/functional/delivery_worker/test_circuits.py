"""Workers and a consumer that does not answer: probed while it is away, served once and in order after it."""

from __future__ import annotations

import datetime
import functools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.delivery import circuit_keeper
from eventalarm.delivery.action import destination
from eventalarm.delivery.worker import DeliveryWorker
from eventalarm.model import UTC, Circuit, CircuitState, Delivery
from eventalarm.storage import database as storage
from eventalarm.storage import tables
from eventalarm.storage.delivery_queries import DeliveryQueries
from eventalarm.storage.delivery_selection import Selection
from eventalarm.storage.outbox import Outbox
from tests.support.deliveries import make_change, make_delivery
from tests.support.delivery_worker import ID, all_are, enqueue, make_worker, received, rows, states
from tests.support.helpers import WebhookSink, wait_until

HOURS = datetime.timedelta(hours=1)
DAYS = datetime.timedelta(days=1)


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.at = datetime.datetime.now(UTC)

    def __call__(self) -> datetime.datetime:
        return self.at


class Away:
    """Workers with a clock that is set forward from probe to probe of one destination."""

    def __init__(self, database: storage.Database, sink: WebhookSink) -> None:
        self.database = database
        self.sink = sink
        self.clock = Clock()
        self.workers: list[DeliveryWorker] = []

    def start(self, number: int = 1, *, skips: bool = False, **fields: Any) -> None:
        probes = {"circuit_probe_initial": 1.0, "circuit_probe_max": 120.0}
        quick = {"circuit_failures": 5, "poll_interval": 0.02, "lease": 10.0, **probes, **fields}
        for _ in range(number):
            outbox = Outbox(self.database, find_superseded=skips)
            worker = make_worker(outbox, now=self.clock, **quick)
            worker.start()
            self.workers.append(worker)
        wait_until(lambda: all(worker.owner for worker in self.workers))

    def to(self, path: str, **fields: Any) -> Delivery:
        url = self.sink.url(path)
        fields = {"alarm_id": path, "destination": destination(url), "created_at": self.clock.at, **fields}
        return make_delivery(url, **fields)

    def circuit(self) -> Circuit | None:
        found = Outbox(self.database).circuits.of_project("p")
        return found.get(destination(self.sink.url()))

    def wait_for(self, state: CircuitState) -> Circuit:
        def reached() -> Circuit | None:
            found = self.circuit()
            return found if found is not None and found.state == state else None

        return wait_until(reached, what=f"the circuit to be {state}")

    def probe_until(self, end: datetime.datetime) -> int:
        """Let probes fail until the next one is due after *end*; return how many were made."""
        while True:
            known = self.wait_for(CircuitState.OPEN)
            if known.next_probe_at is None or known.next_probe_at > end:
                self.clock.at = end
                return known.probes
            self.clock.at = max(self.clock.at, known.next_probe_at)
            wait_until(functools.partial(self._has_probed, known.probes))

    def _has_probed(self, before: int) -> bool:
        return self.wait_for(CircuitState.OPEN).probes > before

    def let_probe(self) -> None:
        """Set the clock to when the next probe is due."""
        self.clock.at = self.wait_for(CircuitState.OPEN).next_probe_at  # type: ignore[assignment]


@pytest.fixture
def away(
    database: storage.Database, webhook_sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Away]:
    monkeypatch.setattr(circuit_keeper, "READ_EVERY", 0.05)
    made = Away(database, webhook_sink)
    yield made
    for worker in made.workers:
        worker.stop(1.0)


def test_a_consumer_away_for_two_hours_gets_everything_once_and_in_order(away: Away) -> None:
    """Red without circuits: thousands of attempts, or deliveries given up."""
    paths = [f"/{number}" for number in range(8)]
    for path in paths:
        away.sink.behave(path, statuses=[503])
    items = [away.to(path) for _ in range(5) for path in paths]
    enqueue(away.database, items[:24], None)
    away.start(number=2, max_attempts=6)
    away.wait_for(CircuitState.OPEN)
    wait_until(lambda: "leased" not in states(away.database).values())
    enqueue(away.database, items[24:], None)
    before = len(away.sink.requests)
    probes = away.probe_until(away.clock.at + 2 * HOURS)
    assert 60 < probes <= 100
    assert len(away.sink.requests) - before <= 100
    assert "failed" not in states(away.database).values()

    for path in paths:
        away.sink.behave(path)
    before = len(away.sink.requests)
    away.let_probe()
    wait_until(lambda: all_are(away.database, "delivered"))
    accepted = away.sink.requests[before:]
    assert len(accepted) == len(items)
    by_path = defaultdict(list)
    for request in accepted:
        by_path[request.path].append(request.headers[ID])
    assert by_path == {path: [item.delivery_id for item in items if item.alarm_id == path] for path in paths}
    assert away.wait_for(CircuitState.CLOSED).failures == 0


def test_a_consumer_that_was_away_gets_the_last_state_of_each_object_once(away: Away) -> None:
    """Red when what is superseded is sent, when a probe waits for one, and when a last state is skipped."""
    paths = [f"/{number}" for number in range(3)]
    for path in paths:
        away.sink.behave(path, statuses=[503])

    def about(name: str, kind: str = "raised") -> list[Delivery]:
        places = {path: away.sink.url(path) for path in paths}
        return [
            make_change(url, name, kind, path, destination=destination(url), created_at=away.clock.at)
            for path, url in places.items()
        ]

    first = about("c")
    enqueue(away.database, first, None)
    away.start(skips=True, circuit_failures=3, circuit_probe_initial=3600.0)
    away.wait_for(CircuitState.OPEN)
    wait_until(lambda: all_are(away.database, "deferred"))
    kept = [about("c", "cleared"), about("a"), about("b", "cleared")]
    enqueue(away.database, [*about("a"), *about("b"), *kept[0], *about("a", "cleared")], None)
    enqueue(away.database, [*kept[1], *kept[2]], None)
    for path in paths:
        away.sink.behave(path)
    before = len(away.sink.requests)
    away.let_probe()
    wait_until(lambda: set(states(away.database).values()) == {"delivered", "superseded"})
    accepted = away.sink.requests[before:]
    assert len(accepted) == 9
    for number, path in enumerate(paths):
        ids = [request.headers[ID] for request in accepted if request.path == path]
        assert ids == [some[number].delivery_id for some in kept]


def test_deliveries_that_come_while_a_circuit_is_open_cost_no_attempt(away: Away) -> None:
    away.sink.behave("/a", statuses=[503])
    enqueue(away.database, [away.to("/a")], None)
    away.start()
    away.wait_for(CircuitState.OPEN)
    before = len(away.sink.requests)
    (worker,) = away.workers
    items = [away.to(f"/new-{number}") for number in range(30)]
    leased = enqueue(away.database, items, worker.owner)
    assert worker.owner is not None
    worker.submit(worker.owner, leased)
    wait_until(lambda: list(states(away.database).values()).count("deferred") == 31)
    assert len(away.sink.requests) == before
    # Another project's deliveries to the same destination are sent.
    other = away.to("/new-1", project_id="other", alarm_id="other")
    enqueue(away.database, [other], None)
    away.sink.wait(1, "/new-1")
    assert away.circuit() is not None
    assert list(states(away.database).values()).count("deferred") == 31


def test_a_probe_to_a_disabled_url_is_replaced_at_once(away: Away) -> None:
    """Red when the circuit waits for the result of a probe that was given up without an attempt."""
    # Deferred before both ends of what waits were disabled.
    for path in ("/first", "/live", "/last"):
        enqueue(away.database, [away.to(path)], None)
    with away.database.begin() as connection:
        connection.execute(sa.update(tables.delivery).values(state="deferred"))
    circuits, host = Outbox(away.database).circuits, destination(away.sink.url())
    for path in ("/first", "/last"):
        circuits.write(Circuit("p", away.sink.url(path), CircuitState.DISABLED, error="HTTP 410"))
    now = away.clock.at
    circuits.write(Circuit("p", host, CircuitState.OPEN, failures=5, failed_at=now, next_probe_at=now))
    away.start()
    away.wait_for(CircuitState.CLOSED)
    wait_until(lambda: sorted(states(away.database).values()) == ["delivered", "failed", "failed"])
    assert [request.path for request in away.sink.requests] == ["/live"]


def test_gone_disables_the_url_for_that_project_until_it_is_enabled(away: Away) -> None:
    """Red without the option; red when other URLs of the destination, or other projects, are disabled too."""
    away.sink.behave("/a", statuses=[410])
    gone = away.to("/a")
    enqueue(away.database, [gone], None)
    away.start()
    circuits, url = Outbox(away.database).circuits, away.sink.url("/a")
    known = wait_until(lambda: circuits.of_project("p").get(url))
    assert (known.state, known.status, known.failures) == (CircuitState.DISABLED, 410, 1)
    away.sink.behave("/a")
    later, sibling = away.to("/a"), away.to("/b")
    other = away.to("/a", project_id="other", alarm_id="other")
    enqueue(away.database, [later, sibling, other], None)
    wait_until(lambda: {*states(away.database).values()} == {"failed", "delivered"})
    assert sorted(received(away.sink)) == sorted(one.delivery_id for one in (gone, sibling, other))
    errors = {row.delivery_id: row for row in rows(away.database, "delivery_id", "error", "attempts")}
    assert errors[later.delivery_id][1:] == ("destination_disabled: http_4xx: HTTP 410", 0)

    assert circuits.enable("other", url) is None
    assert circuits.enable("p", url) is not None

    def retried() -> bool:
        DeliveryQueries(away.database).retry(Selection(project_id="p"))
        return all_are(away.database, "delivered")

    wait_until(retried)


def test_five_days_of_failure_disable_and_end_what_waits(
    away: Away, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("/a", "/b"):
        away.sink.behave(path, statuses=[503])
    items = [away.to("/a"), away.to("/b"), away.to("/a")]
    enqueue(away.database, items, None)
    away.start(give_up_after=1e7)
    away.wait_for(CircuitState.OPEN)
    away.clock.at += 5 * DAYS - HOURS
    away.probe_until(away.clock.at)
    assert "failed" not in states(away.database).values()
    wait_until(lambda: "leased" not in states(away.database).values())
    away.clock.at += 2 * HOURS
    away.wait_for(CircuitState.DISABLED)
    wait_until(lambda: all_are(away.database, "failed"))
    warned = [record.getMessage() for record in caplog.records if "is disabled" in record.getMessage()]
    assert len(warned) == 1
    assert "of project p" in warned[0]


def test_what_waits_for_more_than_a_day_is_given_up(away: Away) -> None:
    """Red when the attempts of probes, or nothing at all, end a delivery."""
    for path in ("/a", "/b"):
        away.sink.behave(path, statuses=[503])
    enqueue(away.database, [away.to("/a"), away.to("/b")], None)
    away.start(max_attempts=1, circuit_failures=1)
    away.wait_for(CircuitState.OPEN)
    away.probe_until(away.clock.at + datetime.timedelta(minutes=10))
    assert set(states(away.database).values()) <= {"deferred", "leased"}
    away.clock.at += DAYS

    def given_up() -> bool:
        away.clock.at += datetime.timedelta(minutes=1)
        return all_are(away.database, "failed")

    wait_until(given_up)
    with away.database.read() as connection:
        errors = set(connection.execute(sa.select(tables.delivery.c.error)).scalars())
    assert errors <= {circuit_keeper.TOO_OLD, "http_5xx: HTTP 503"}
