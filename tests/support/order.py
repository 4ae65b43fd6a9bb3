"""The order of the tests for several workers: a run ends sooner if the longest tests do not begin last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

FUNCTIONAL: Final = "tests/functional/"
# About the seconds that the longest files take on two cores; all others take less than each of these.
LONG: Final = {
    "tests/functional/test_disruption.py": 170,
    "tests/functional/test_guarantees.py": 120,
    "tests/functional/test_pulse_story.py": 85,
    "tests/functional/test_trial_own_cloud.py": 65,
    "tests/functional/test_standalone.py": 65,
    "tests/functional/test_demo.py": 60,
    "tests/functional/test_cluster.py": 55,
    "tests/functional/test_partitions.py": 50,
    "tests/functional/test_half_open.py": 50,
    "tests/functional/test_trial.py": 45,
    "tests/functional/test_frozen_peers.py": 45,
    "tests/functional/test_galera.py": 45,
    "tests/functional/test_promotion.py": 40,
    "tests/functional/test_health_outages.py": 35,
    "tests/functional/test_pulse_backends.py": 35,
    "tests/functional/test_redelivery.py": 35,
    "tests/functional/test_publisher_agent.py": 30,
    "tests/functional/test_doctor.py": 30,
    "tests/functional/test_ingest_standalone.py": 30,
    "tests/functional/test_idle_sessions.py": 30,
    "tests/functional/test_delivery_fairness.py": 25,
    "tests/functional/test_benchmarks.py": 25,
    "tests/functional/test_failover.py": 25,
}


def in_order(items: Sequence[T], file_of: Callable[[T], str], workers: int) -> list[T]:
    """Return *items* so that each of *workers* begins with long files, and ends with short tests.

    pytest-xdist hands each worker one of as many contiguous parts of equal size, and later moves tests from
    the end of one part to another. Tests of one file stay together, since they share fixtures.

    :param file_of: returns the path of the file of a test, relative to the root.
    """
    queues: list[list[T]] = [[] for _ in range(workers)]
    taken = [0.0] * workers
    for name in sorted(LONG, key=lambda name: -LONG[name]):
        least = taken.index(min(taken))
        taken[least] += LONG[name]
        queues[least] += [item for item in items if file_of(item) == name]
    others = [item for item in items if file_of(item) not in LONG]
    functional = [item for item in others if file_of(item).startswith(FUNCTIONAL)]
    rest = [item for item in others if not file_of(item).startswith(FUNCTIONAL)]
    for number, queue in enumerate(queues):
        queue.extend(_part(functional, number, workers))
    ordered: list[T] = []
    for number, queue in enumerate(queues):
        size = (len(items) - len(ordered)) // (workers - number)
        room = max(size - len(queue), 0) if number < workers - 1 else len(rest)
        ordered += queue + rest[:room]
        rest = rest[room:]
    return ordered


def _part(items: Sequence[T], number: int, of: int) -> Sequence[T]:
    return items[len(items) * number // of : len(items) * (number + 1) // of]
