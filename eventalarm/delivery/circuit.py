"""What the results of attempts do to the circuit of a destination, and when it is probed. Pure.

A circuit opens after a number of failures in a row. While it is open, one delivery at a time is sent as a
probe, at growing intervals; the others wait. Any sign of life closes it. One that failed for long is disabled
until somebody enables it; so is a single URL that answers that it is gone.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from typing import Final

from eventalarm.backoff import Backoff, Uniform
from eventalarm.exceptions import DeliveryError
from eventalarm.model import Circuit, CircuitState

GONE: Final = 410
# Failures of what this deployment needs for a call, which say nothing of the consumer.
OURS: Final = frozenset({"credentials", "internal", "keystone", "plugin_unusable", "publish", "token"})
LONGEST_ERROR: Final = 300
# The share of the wait for a probe by which jitter may shorten it.
JITTER: Final = 0.25


class Effect(enum.Enum):
    """What the result of an attempt says of a destination."""

    ANSWERED = "answered"
    FAILING = "failing"
    GONE = "gone"
    NOTHING = "nothing"


@dataclasses.dataclass(frozen=True, slots=True)
class CircuitRules:
    """Options of circuits; times are in seconds.

    ``failures`` is how many in a row open a circuit; 0: none is ever opened. ``probe_timeout`` is after how
    long a probe without a result is considered lost.
    """

    failures: int = 20
    probe_initial: float = 1.0
    probe_max: float = 120.0
    probe_timeout: float = 30.0
    retry_after_max: float = 300.0
    disable_after: float = 432000.0
    disable_gone: bool = True


def effect_of(error: DeliveryError | None, rules: CircuitRules) -> Effect:
    """Return what an attempt says that ended with *error*, or None if the consumer accepted the delivery.

    A consumer that refuses one delivery permanently is alive.
    """
    if error is None:
        return Effect.ANSWERED
    if not error.attempted or error.reason in OURS:
        return Effect.NOTHING
    if error.status == GONE and rules.disable_gone:
        return Effect.GONE
    if not error.permanent:
        return Effect.FAILING
    return Effect.NOTHING if error.status is None else Effect.ANSWERED


def succeeded(circuit: Circuit) -> Circuit:
    """Return the circuit after a sign of life: closed, unless it is disabled."""
    return circuit if circuit.state == CircuitState.DISABLED else closed(circuit)


def closed(circuit: Circuit) -> Circuit:
    """Return the closed circuit of the same destination, with no failure."""
    return Circuit(circuit.project_id, circuit.destination, version=circuit.version)


def failed(
    circuit: Circuit,
    error: DeliveryError,
    now: datetime.datetime,
    rules: CircuitRules,
    uniform: Uniform,
    *,
    is_probe: bool,
) -> Circuit:
    """Return the circuit after a failure of its destination; *is_probe*: that of its probe.

    Failures of calls that were under way when it opened change nothing.
    """
    since = circuit.failing_since or now
    if circuit.state == CircuitState.DISABLED or (circuit.defers and not is_probe):
        return circuit
    failures = circuit.failures + (not circuit.defers)
    failing = dataclasses.replace(
        circuit,
        failures=failures,
        failing_since=since,
        failed_at=now,
        status=error.status,
        error=str(error)[:LONGEST_ERROR],
    )
    opens = 0 < rules.failures <= failures
    if opens and (now - since).total_seconds() >= rules.disable_after:
        return dataclasses.replace(failing, state=CircuitState.DISABLED, next_probe_at=None)
    if not opens:
        return failing
    wait = Backoff(rules.probe_initial, rules.probe_max, uniform, jitter=JITTER)(circuit.probes + 1)
    wait = max(wait, min(error.retry_after or 0.0, rules.retry_after_max))
    return dataclasses.replace(failing, state=CircuitState.OPEN, next_probe_at=_after(now, wait))


def gone(circuit: Circuit, error: DeliveryError, now: datetime.datetime) -> Circuit:
    """Return the disabled circuit of a URL that answered at *now* that it is gone."""
    if circuit.state == CircuitState.DISABLED:
        return circuit
    return dataclasses.replace(
        circuit,
        state=CircuitState.DISABLED,
        failures=circuit.failures + 1,
        failing_since=circuit.failing_since or now,
        failed_at=now,
        next_probe_at=None,
        status=error.status,
        error=str(error)[:LONGEST_ERROR],
    )


def probe_is_due(circuit: Circuit, now: datetime.datetime) -> bool:
    """Return True if a delivery may be sent as a probe at *now*."""
    return circuit.next_probe_at is not None and circuit.next_probe_at <= now


def probing(circuit: Circuit, now: datetime.datetime, rules: CircuitRules) -> Circuit:
    """Return the half-open circuit, whose probe is sent at *now*; should it be lost, another one follows."""
    return dataclasses.replace(
        circuit,
        state=CircuitState.HALF_OPEN,
        probes=circuit.probes + 1,
        next_probe_at=_after(now, rules.probe_timeout),
    )


def without_probe(circuit: Circuit, now: datetime.datetime, rules: CircuitRules) -> Circuit:
    """Return the circuit if there was no delivery to send as a probe, or it said nothing of the destination.

    It closes if its destination has not failed for as long as would have disabled it.
    """
    last = circuit.failed_at
    if last is None or (now - last).total_seconds() >= rules.disable_after:
        return closed(circuit)
    return dataclasses.replace(circuit, state=CircuitState.OPEN, next_probe_at=_after(now, rules.probe_max))


def probe_again(circuit: Circuit, now: datetime.datetime) -> Circuit:
    """Return the circuit if its probe was given up without an attempt: another one is due at once.

    The probe counts, so that the next one is taken from the other end of what waits.
    """
    if circuit.state != CircuitState.HALF_OPEN:
        return circuit
    return dataclasses.replace(circuit, state=CircuitState.OPEN, next_probe_at=now)


def _after(now: datetime.datetime, seconds: float) -> datetime.datetime:
    return now + datetime.timedelta(seconds=seconds)
