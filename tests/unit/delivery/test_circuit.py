"""What results of attempts do to a circuit: every state and effect, and properties of any history."""

from __future__ import annotations

import dataclasses
import datetime
import random

import hypothesis
import pytest
from hypothesis import strategies as st

from eventalarm.backoff import Uniform
from eventalarm.delivery import circuit as circuits
from eventalarm.delivery import retry
from eventalarm.delivery.circuit import CircuitRules, Effect, effect_of
from eventalarm.exceptions import DeliveryError
from eventalarm.model import Circuit, CircuitState
from tests.support.deliveries import NOW, longest

RULES = CircuitRules(failures=3)
REFUSED = DeliveryError("connect", "refused")
START = Circuit("p", "http://h:80")
HOUR, DAY = 3600.0, 86400.0


def later(seconds: float) -> datetime.datetime:
    return NOW + datetime.timedelta(seconds=seconds)


def shortest(low: float, high: float) -> float:
    return low


def fail(circuit: Circuit, at: float, error: DeliveryError = REFUSED, *, is_probe: bool = False) -> Circuit:
    return circuits.failed(circuit, error, later(at), RULES, longest, is_probe=is_probe)


def opened(at: float = 0.0) -> Circuit:
    found = START
    for _ in range(RULES.failures):
        found = fail(found, at)
    return found


@pytest.mark.parametrize(
    ("error", "effect"),
    [
        (None, Effect.ANSWERED),
        (REFUSED, Effect.FAILING),
        (DeliveryError("timeout"), Effect.FAILING),
        (retry.of_status(404), Effect.FAILING),
        (retry.of_status(429, 5.0), Effect.FAILING),
        (retry.of_status(503), Effect.FAILING),
        (retry.of_status(400), Effect.ANSWERED),
        (retry.of_status(308), Effect.ANSWERED),
        (retry.of_status(410), Effect.GONE),
        (DeliveryError("bad_action", permanent=True), Effect.NOTHING),
        (DeliveryError("busy", attempted=False), Effect.NOTHING),
        (DeliveryError("keystone", "Unauthorized"), Effect.NOTHING),
    ],
)
def test_what_a_result_says_of_its_destination(error: DeliveryError | None, effect: Effect) -> None:
    assert effect_of(error, RULES) == effect


def test_gone_only_ends_the_delivery_where_the_deployer_says_so() -> None:
    assert effect_of(retry.of_status(410), CircuitRules(disable_gone=False)) == Effect.ANSWERED


def test_a_circuit_opens_after_failures_in_a_row() -> None:
    twice = fail(fail(START, 0.0), 1.0)
    assert (twice.state, twice.failures, twice.failing_since) == (CircuitState.CLOSED, 2, NOW)
    assert circuits.succeeded(twice) == START
    found = fail(twice, 2.0)
    assert (found.state, found.failures, found.failing_since) == (CircuitState.OPEN, 3, NOW)
    assert (found.next_probe_at, found.probes, found.error) == (later(3.0), 0, "connect: refused")
    assert fail(found, 2.5) == found


def test_probes_come_ever_later_and_one_success_closes() -> None:
    found, waits = opened(), []
    for number in range(10):
        at = (found.next_probe_at - NOW).total_seconds()  # type: ignore[operator]
        assert circuits.probe_is_due(found, later(at))
        assert not circuits.probe_is_due(found, later(at - 0.001))
        half = circuits.probing(found, later(at), RULES)
        assert (half.state, half.probes) == (CircuitState.HALF_OPEN, number + 1)
        # The probe of a process that ended is followed by another one.
        assert half.next_probe_at == later(at + RULES.probe_timeout)
        found = fail(half, at + 0.5, is_probe=True)
        waits.append((found.next_probe_at - later(at + 0.5)).total_seconds())  # type: ignore[operator]
    assert waits == [2, 4, 8, 16, 32, 64, 120, 120, 120, 120]
    assert found.failures == RULES.failures
    assert circuits.succeeded(found) == START


def test_the_next_probe_honours_retry_after_within_bounds() -> None:
    for asked, wait in ((200.0, 200.0), (DAY, 300.0), (0.1, 2.0)):
        half = circuits.probing(opened(), NOW, RULES)
        found = fail(half, 0.0, retry.of_status(503, asked), is_probe=True)
        assert found.next_probe_at == later(wait)


def test_a_url_that_is_gone_is_disabled_in_every_state_and_only_enabling_ends_that() -> None:
    for before in (START, opened(), circuits.probing(opened(), NOW, RULES)):
        found = circuits.gone(before, retry.of_status(410), later(1.0))
        assert (found.state, found.status, found.next_probe_at) == (CircuitState.DISABLED, 410, None)
        assert circuits.succeeded(found) == found == fail(found, 2.0)
        assert not found.defers
        assert not circuits.probe_is_due(found, later(DAY))
        assert circuits.closed(found) == START


def test_five_days_of_failure_disable() -> None:
    """Red when they count from the last failure: every probe would begin them again."""
    probed = fail(circuits.probing(opened(), later(3 * DAY), RULES), 3 * DAY, is_probe=True)
    half = circuits.probing(probed, later(5 * DAY - 2), RULES)
    assert fail(half, 5 * DAY - 1, is_probe=True).state == CircuitState.OPEN
    assert fail(half, 5 * DAY, is_probe=True).state == CircuitState.DISABLED


def test_without_a_delivery_to_probe_with_it_stays_open_until_it_would_be_disabled() -> None:
    found = circuits.without_probe(opened(), later(HOUR), RULES)
    assert (found.state, found.next_probe_at) == (CircuitState.OPEN, later(HOUR + RULES.probe_max))
    assert circuits.without_probe(found, later(5 * DAY), RULES) == START


@pytest.mark.parametrize("uniform", [shortest, longest, random.Random(7).uniform])
def test_a_dead_consumer_costs_at_most_100_probes_in_two_hours(uniform: Uniform) -> None:
    rules = CircuitRules()
    found = START
    for _ in range(rules.failures):
        found = circuits.failed(found, REFUSED, NOW, rules, uniform, is_probe=False)
    assert found.state == CircuitState.OPEN
    while found.next_probe_at is not None and found.next_probe_at <= later(2 * HOUR):
        half = circuits.probing(found, found.next_probe_at, rules)
        found = circuits.failed(half, REFUSED, found.next_probe_at, rules, uniform, is_probe=True)
    assert 60 < found.probes <= 100


ERRORS = st.sampled_from(
    [REFUSED, *map(retry.of_status, (404, 503)), retry.of_status(503, 1000.0), DeliveryError("timeout")]
)
EVENTS = st.lists(
    st.tuples(st.floats(0.0, 2 * DAY), st.sampled_from(["fail", "succeed", "probe", "idle"]), ERRORS)
)


@hypothesis.given(EVENTS)
def test_any_history_keeps_a_circuit_sound(events: list[tuple[float, str, DeliveryError]]) -> None:
    """It is always closed, disabled, or due for a probe within bounded time; success always closes it."""
    found, at, probe_sent = START, 0.0, False
    for wait, what, error in events:
        at += wait
        before = found
        if what == "succeed":
            found = circuits.succeeded(found)
        elif what == "probe" and circuits.probe_is_due(found, later(at)):
            found, probe_sent = circuits.probing(found, later(at), RULES), True
        elif what == "fail":
            found = fail(found, at, error, is_probe=probe_sent)
            probe_sent = False
        elif what == "idle" and found.defers:
            found = circuits.without_probe(found, later(at), RULES)
        if before.state == CircuitState.DISABLED:
            assert found == before
        assert found.defers == (found.next_probe_at is not None)
        if found.next_probe_at is not None and found != before:
            assert found.next_probe_at <= later(at + max(RULES.probe_max, RULES.retry_after_max))
        if what == "succeed" and before.state != CircuitState.DISABLED:
            assert found == START
        assert (found.failing_since is None) == (found.failures == 0 and found.status is None)
        assert dataclasses.replace(found, project_id="p", destination=START.destination) == found
