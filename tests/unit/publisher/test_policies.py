"""The three policies: what their callers see, what the broker gets, what the operator reads."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from eventalarm.backoff import Backoff
from eventalarm.exceptions import PublishError
from eventalarm.publisher import policies
from eventalarm.publisher.options import Policy, PublisherOptions
from eventalarm.publisher.sending import BrokerStatus
from tests.support.helpers import wait_until
from tests.unit.publisher.fakes import Broker, event

FAST = Backoff(0.001, 0.002)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def status() -> BrokerStatus:
    return BrokerStatus("rabbit://h/v", itertools.count().__next__)


@pytest.fixture
def blocking(broker: Broker, status: BrokerStatus) -> Iterator[Callable[..., policies.Blocking]]:
    made: list[policies.Blocking] = []

    def make(wait: Callable[[float], bool] | None = None, **options: Any) -> policies.Blocking:
        made.append(policies.Blocking(broker.send, PublisherOptions(**options), status, FAST, wait))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def queueing(broker: Broker, status: BrokerStatus) -> Iterator[Callable[..., policies.Queueing]]:
    made: list[policies.Queueing] = []

    def make(backoff: Backoff = FAST, **options: Any) -> policies.Queueing:
        made.append(policies.Queueing(broker.send, PublisherOptions(**options), status, backoff))
        return made[-1]

    yield make
    for one in made:
        one.close()


def recording(waits: list[float]) -> Callable[[float], bool]:
    """Return a wait that only records its seconds, and is never interrupted."""

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    return wait


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno > logging.DEBUG]


class TestBlocking:
    def test_returns_when_the_broker_has_the_events(
        self, broker: Broker, blocking: Callable[..., policies.Blocking], caplog: pytest.LogCaptureFixture
    ) -> None:
        blocking().publish([event(1), event(2)])
        assert [len(payload) for payload in broker.taken] == [2]
        assert logged(caplog) == []

    def test_an_outage_is_outlasted_and_logged_twice(
        self, broker: Broker, blocking: Callable[..., policies.Blocking], caplog: pytest.LogCaptureFixture
    ) -> None:
        broker.failures = 5
        waits: list[float] = []
        policy = blocking(recording(waits))
        policy.publish([event(1)])
        assert broker.ids == ["m1"]
        assert len(waits) == 5
        lost, regained = logged(caplog)
        assert "does not accept events: told to refuse" in lost
        assert "accepts events again" in regained

    def test_publishing_is_given_up_after_max_retry_with_a_log(
        self, broker: Broker, blocking: Callable[..., policies.Blocking], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Fails when the log says that events wait: Ceilometer acknowledges them beside another publisher."""
        broker.up = False
        with pytest.raises(PublishError, match="nobody there"):
            blocking(max_retry=2).publish([event(1)])
        assert broker.tries == 3
        lost, dropped = logged(caplog)
        assert "Each message is dropped after 3 tries, unless" in lost
        assert "1 events dropped" in dropped

    def test_the_callers_behind_share_one_message_in_order(
        self, broker: Broker, blocking: Callable[..., policies.Blocking]
    ) -> None:
        policy = blocking()
        broker.gate.clear()
        with ThreadPoolExecutor(6) as pool:
            for number in range(6):
                pool.submit(policy.publish, [event(number)])
                if number == 0:
                    assert broker.entered.acquire(timeout=10)
                else:
                    wait_until(functools.partial(lambda length: len(policy._queue) == length, number))
            broker.gate.set()
        assert [[body["message_id"] for body in payload] for payload in broker.taken] == [
            ["m0"],
            ["m1", "m2", "m3", "m4", "m5"],
        ]

    def test_no_caller_returns_before_its_events_are_accepted(
        self, broker: Broker, blocking: Callable[..., policies.Blocking]
    ) -> None:
        policy = blocking()

        def publish(number: int) -> bool:
            policy.publish([event(number)])
            return f"m{number}" in broker.ids

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(publish, range(400)))
        assert sorted(broker.ids) == sorted(f"m{number}" for number in range(400))

    def test_every_caller_in_the_queue_gets_the_failure(
        self, broker: Broker, blocking: Callable[..., policies.Blocking]
    ) -> None:
        policy = blocking(max_retry=0)
        broker.up = False
        broker.gate.clear()
        with ThreadPoolExecutor(3) as pool:
            first = pool.submit(policy.publish, [event(0)])
            assert broker.entered.acquire(timeout=10)
            others = [pool.submit(policy.publish, [event(number)]) for number in (1, 2)]
            wait_until(lambda: len(policy._queue) == 2)
            broker.gate.set()
            assert all(isinstance(one.exception(10), PublishError) for one in [first, *others])
        broker.up = True
        policy.publish([event(3)])
        assert broker.ids == ["m3"]

    def test_closing_releases_waiting_callers(
        self, broker: Broker, blocking: Callable[..., policies.Blocking]
    ) -> None:
        broker.up = False
        policy = blocking()
        with ThreadPoolExecutor(1) as pool:
            caller = pool.submit(policy.publish, [event(1)])
            wait_until(lambda: broker.tries > 1)
            policy.close()
            assert "closed" in str(caller.exception(10))


class TestQueueing:
    def test_sends_at_once_while_the_broker_is_there(
        self, broker: Broker, queueing: Callable[..., policies.Queueing]
    ) -> None:
        policy = queueing()
        for number in range(20):
            policy.publish([event(number)])
            assert broker.ids[-1] == f"m{number}"

    def test_keeps_order_and_flushes_without_a_new_event(
        self, broker: Broker, queueing: Callable[..., policies.Queueing], caplog: pytest.LogCaptureFixture
    ) -> None:
        policy = queueing()
        broker.up = False
        for number in range(5):
            policy.publish([event(number)])
        wait_until(lambda: broker.tries > 3, what="tries in vain with all of them waiting")
        assert broker.ids == []
        broker.up = True
        wait_until(lambda: len(broker.ids) == 5)
        assert broker.ids == [f"m{number}" for number in range(5)]
        wait_until(lambda: len(logged(caplog)) == 2)
        assert [
            "does not accept events" in logged(caplog)[0],
            "again" in logged(caplog)[1],
            len(logged(caplog)),
        ] == [
            True,
            True,
            2,
        ]

    def test_serves_a_second_outage_as_well(
        self, broker: Broker, queueing: Callable[..., policies.Queueing]
    ) -> None:
        policy = queueing()
        for number in range(3):
            broker.up = False
            policy.publish([event(number)])
            broker.up = True
            wait_until(functools.partial(lambda name: name in broker.ids, f"m{number}"))

    def test_callers_do_not_wait_for_an_absent_broker(
        self, broker: Broker, queueing: Callable[..., policies.Queueing]
    ) -> None:
        policy = queueing(Backoff(60, 60))
        broker.up = False
        policy.publish([event(0)])
        broker.gate.clear()
        for number in range(1, 4):
            policy.publish([event(number)])
        assert broker.tries == 1
        broker.gate.set()

    def test_drops_the_oldest_and_counts_them(
        self, broker: Broker, queueing: Callable[..., policies.Queueing], caplog: pytest.LogCaptureFixture
    ) -> None:
        policy = queueing(Backoff(0.2, 0.2), max_queue_length=3)
        broker.up = False
        for number in range(15):
            policy.publish([event(number)])
        assert len(policy._waiting) <= 3
        broker.up = True
        wait_until(lambda: len(broker.ids) == 3)
        assert broker.ids == ["m12", "m13", "m14"]
        reports = wait_until(lambda: logged(caplog) if len(logged(caplog)) > 3 else [])
        assert "1 events dropped so far" in reports[1]
        assert "10 events dropped so far" in reports[2]
        assert "12 events were dropped" in reports[3]

    def test_no_caller_waits_behind_an_unresponsive_broker(
        self, broker: Broker, queueing: Callable[..., policies.Queueing]
    ) -> None:
        """Fails when callers wait for the one that sends: they are threads that Ceilometer needs."""
        policy = queueing()
        broker.gate.clear()
        with ThreadPoolExecutor(4) as pool:
            for number in range(40):
                pool.submit(policy.publish, [event(number)])
        assert broker.tries == 1
        broker.gate.set()
        wait_until(lambda: len(broker.ids) == 40)

    def test_closing_stops_the_thread(
        self, broker: Broker, queueing: Callable[..., policies.Queueing]
    ) -> None:
        policy = queueing(Backoff(60, 60))
        broker.up = False
        policy.publish([event(0)])
        thread = policy._thread
        assert thread is not None
        policy.close()
        assert not thread.is_alive()


def test_dropping_tries_once_and_counts(
    broker: Broker, status: BrokerStatus, caplog: pytest.LogCaptureFixture
) -> None:
    policy = policies.Dropping(broker.send, PublisherOptions(), status, Backoff(0.0, 0.0))
    broker.up = False
    for number in range(3):
        policy.publish([event(number), event(number)])
    assert broker.tries == 3
    broker.up = True
    policy.publish([event(9)])
    assert broker.ids == ["m9"]
    reports = logged(caplog)
    assert "does not accept events" in reports[0]
    assert "2 events dropped so far" in reports[1]
    assert "6 events were dropped" in reports[2]
    assert len(reports) == 3


def test_dropping_waits_for_nobody(broker: Broker, status: BrokerStatus) -> None:
    now = [0.0]
    longest = Backoff(1.0, 1.0, lambda low, high: high)
    policy = policies.Dropping(broker.send, PublisherOptions(), status, longest, lambda: now[0])
    broker.up = False
    for number in range(3):
        policy.publish([event(number)])
    assert (broker.tries, status.dropped) == (1, 3)
    broker.up = True
    now[0] = 1.0
    policy.publish([event(3)])
    assert broker.ids == ["m3"]


@pytest.mark.parametrize(
    ("policy", "kind"),
    [
        (Policy.DEFAULT, policies.Blocking),
        (Policy.QUEUE, policies.Queueing),
        (Policy.DROP, policies.Dropping),
    ],
)
def test_the_option_chooses_the_policy(broker: Broker, policy: Policy, kind: type) -> None:
    assert isinstance(policies.make(broker.send, PublisherOptions(policy=policy), "here"), kind)
