"""A flood of one project does not delay the events of others: it is processed in parts."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, cast

import oslo_messaging
import pytest
from oslo_config import cfg

from eventalarm import bus
from eventalarm.backoff import Backoff
from eventalarm.evaluator.batch import MODERATE, BatchReport
from eventalarm.evaluator.engine import Engine
from eventalarm.evaluator.handler import BatchHandler
from eventalarm.evaluator.listener import BatchServer
from eventalarm.evaluator.options import ListenerOptions
from eventalarm.evaluator.outage import DatabaseOutage
from eventalarm.metrics import Metrics
from eventalarm.model import Event
from eventalarm.standalone import inprocess
from eventalarm.storage.database import Database
from tests.support.builders import event_body, rule
from tests.support.engine_harness import (
    EngineHarness,
    alarm_row,
    insert_alarms,
    open_database,
    transitions,
)

ALARMS = 3 * MODERATE
FLOOD = [f"flood-{number}" for number in range(ALARMS)]
TIMEOUT = 60.0


@pytest.fixture
def database(our_database_url: str) -> Iterator[Database]:
    with open_database(our_database_url) as opened:
        alarms = dict.fromkeys(FLOOD, "greedy") | {"other": "modest"}
        rows = (
            alarm_row(
                alarm_id,
                rule=rule("*", resource_id="vm-1", state="error"),
                project_id=project,
                ok_actions=["http://ok"],
            )
            for alarm_id, project in alarms.items()
        )
        insert_alarms(opened, *rows)
        yield opened


def body(project: str, state: str, second: int) -> dict[str, Any]:
    moment = f"2026-05-01T11:00:{second:02}"
    return event_body(generated=moment, project=project, resource_id="vm-1", state=state)


class Listening:
    """A listener without a broker, whose batches can be held; ``sizes`` counts the transitions of each."""

    def __init__(self, database: Database) -> None:
        self.engine = EngineHarness(database, max_batch_time=0.0)
        self.sizes: list[int] = []
        self.go = threading.Event()
        self.begun = threading.Event()
        self.stopping = threading.Event()
        self._more = threading.Condition()
        self._topic = uuid.uuid4().hex
        conf = cfg.ConfigOpts()
        conf([])
        self._transport = oslo_messaging.get_notification_transport(conf, inprocess.URL)
        metrics = Metrics()
        outage = DatabaseOutage(metrics, self.stopping, Backoff(0.01, 0.01))
        handler = BatchHandler(cast(Engine, self), metrics, outage)
        self.server = BatchServer(self._transport, ListenerOptions(self._topic, "test", 2), handler)
        self.server.begin()

    def process(self, events: Sequence[Event]) -> BatchReport:
        self.begun.set()
        assert self.go.wait(TIMEOUT)
        report = self.engine.engine.process(events)
        with self._more:
            self.sizes.append(len(report.transitions))
            self._more.notify_all()
        return report

    def projects(self, event: Event) -> tuple[str, ...]:
        return self.engine.engine.projects(event)

    def retry_locked(self) -> None:
        self.engine.engine.retry_locked()

    def forget_unfinished(self) -> None:
        self.engine.engine.forget_unfinished()

    def send(self, *bodies: dict[str, Any]) -> None:
        bus.send(self._transport, topic=self._topic, exchange="test", event_type="x", payload=list(bodies))

    def wait(self, number: int) -> None:
        """Wait until so many transitions are recorded."""
        with self._more:
            assert self._more.wait_for(lambda: sum(self.sizes) >= number, TIMEOUT), self.sizes

    def stop(self) -> None:
        self.go.set()
        self.stopping.set()
        self.server.end()
        self.server.stop()
        self.server.wait()


@pytest.fixture
def listening(database: Database) -> Iterator[Listening]:
    one = Listening(database)
    yield one
    one.stop()


def test_another_tenants_event_fires_while_a_flood_is_settled(
    listening: Listening, database: Database
) -> None:
    """The event is published after the flood; before the fix, it fired after the whole flood."""
    flood = [body("greedy", state, second) for second, state in enumerate(("error", "active", "error"))]
    for one in flood:
        listening.send(one)
    assert listening.begun.wait(TIMEOUT)
    listening.send(body("modest", "error", 0))
    listening.go.set()
    listening.wait(3 * ALARMS + 1)
    before = [t.alarm_id for t in listening.engine.sent].index("other")
    assert before <= 3 * MODERATE, f"after {before} transitions of the flood"
    # Every alarm of the flood received its events once and in order.
    ordered = [str(one["message_id"]) for one in flood]
    for alarm_id in FLOOD:
        found = [(t["kind"], t["message_id"]) for t in transitions(database, alarm_id=alarm_id)]
        assert found == list(zip(("raised", "cleared", "raised"), ordered, strict=True))


def test_nothing_that_is_done_is_settled_again(database: Database) -> None:
    """The events of a deferred message, and the alarms of a deferred event, are processed once."""
    engine = EngineHarness(database, max_batch_time=0.0)
    reasons: Counter[str] = Counter()
    events = [Event.parse(body("greedy", "error", 0)), Event.parse(body("modest", "error", 1))]
    rounds = 0
    while events:
        report = engine.engine.process(events)
        reasons += report.reasons
        events, rounds = report.left, rounds + 1
    assert reasons == {"raised": ALARMS + 1}
    assert rounds == ALARMS // MODERATE


def test_a_message_with_events_of_both_is_done_once(listening: Listening) -> None:
    listening.go.set()
    listening.send(body("modest", "error", 0), body("greedy", "error", 1), body("modest", "active", 2))
    listening.wait(ALARMS + 2)
    assert sum(listening.sizes) == ALARMS + 2


def test_an_event_that_is_matched_again_repeats_nothing(database: Database) -> None:
    """As when its message went back to the broker, and then to this listener or another."""
    engine = EngineHarness(database, max_batch_time=0.0)
    first = body("greedy", "error", 0)
    engine.process(first)
    engine.engine.forget_unfinished()
    events = [Event.parse(first)]
    while events:
        events = engine.engine.process(events).left
    assert Counter(t.alarm_id for t in engine.sent) == Counter(FLOOD)


def test_a_stop_does_not_wait_for_the_end_of_a_flood(listening: Listening, database: Database) -> None:
    """The remainder goes back to the broker with the younger messages; the next listener continues."""
    flood = [body("greedy", state, second) for second, state in enumerate(("error", "active"))]
    listening.send(flood[0])
    assert listening.begun.wait(TIMEOUT)
    listening.send(flood[1])
    listening.stop()
    settled = sum(listening.sizes)
    assert settled == MODERATE
    successor = EngineHarness(database)
    successor.process(*flood)
    for alarm_id in FLOOD:
        kinds = [t["kind"] for t in transitions(database, alarm_id=alarm_id)]
        assert kinds == ["raised", "cleared"]
