"""Probes run at the same time within bounds, and a probe that hangs delays no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import pytest

from eventalarm.exceptions import InvalidOption
from eventalarm.model.findings import Finding, Health
from eventalarm.pulse import runner as runner_module
from eventalarm.pulse.checks import CheckContext, Probe
from eventalarm.pulse.runner import Runner, run_all

CONTEXT = CheckContext(None, lambda: None, 1.0)


def well(target: str) -> Finding:
    return Finding(target=target, health=Health.OK, summary="well")


class Looks:
    """A check of the test: what each probe does, by its target."""

    description: ClassVar[str] = ""
    for_tenants: ClassVar[bool] = True

    def __init__(self, context: CheckContext = CONTEXT, **looks: Callable[[], Any]) -> None:
        self._looks = looks

    def probes(self) -> Iterable[Probe]:
        return [
            Probe(name, lambda name=name, look=look: (look(), [well(name)])[1])  # type: ignore[misc]
            for name, look in self._looks.items()
        ]


def nothing() -> None:
    return None


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "GRACE", 0.0)


def test_a_hung_probe_is_given_up_and_not_begun_again(no_grace: None) -> None:
    release, begun = threading.Event(), []

    def hang() -> None:
        begun.append(1)
        release.wait(30)

    one = Runner(workers=2, timeout=0.2)
    check = Looks(hung=hang, other=nothing)
    found = one.run("c", check)
    assert [(f.target, f.health) for f in found.findings] == [("hung", Health.CRITICAL), ("other", Health.OK)]
    assert "no answer within 0.2 s" in found.findings[0].summary
    assert not found.complete
    again = one.run("c", check)
    assert (len(begun), again.findings[0].health) == (1, Health.CRITICAL)
    release.set()


def test_hung_probes_leave_their_places_to_others(no_grace: None) -> None:
    release = threading.Event()
    one = Runner(workers=1, timeout=0.2)
    hung = Looks(a=lambda: release.wait(30), b=lambda: release.wait(30), c=nothing)
    assert [f.health for f in one.run("c", hung).findings] == [Health.CRITICAL, Health.CRITICAL, Health.OK]
    release.set()


def test_no_more_probes_than_workers_at_a_time() -> None:
    lock, running, most = threading.Lock(), 0, 0
    barrier = threading.Barrier(3, timeout=10)

    def look() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        barrier.wait()
        with lock:
            running -= 1

    found = run_all(
        Runner(workers=3, timeout=10.0),
        [(str(number), Looks(a=look, b=look, c=look)) for number in range(2)],
    )
    assert most == 3
    assert [len(one.findings) for one in found.values()] == [3, 3]


def test_an_error_is_a_finding() -> None:
    def expected() -> None:
        raise InvalidOption("[eventalarm_pulse] cloud", "is missing", "set it")

    def unexpected() -> None:
        raise ZeroDivisionError("secret")

    found = Runner(4, 5.0).run("c", Looks(expected=expected, unexpected=unexpected))
    first, second = found.findings
    assert (first.health, "is missing" in first.summary) == (Health.CRITICAL, True)
    assert (second.health, "secret" in second.summary) == (Health.UNKNOWN, False)
    assert not found.complete


def test_a_check_that_does_not_know_its_targets_is_critical() -> None:
    class Unknowing(Looks):
        def probes(self) -> Iterable[Probe]:
            raise InvalidOption("[eventalarm_pulse] cloud", "is missing", "set it")

    found = Runner(4, 5.0).run("endpoint", Unknowing())
    assert [(f.target, f.health) for f in found.findings] == [("endpoint", Health.CRITICAL)]
    assert not found.complete


def test_a_look_with_its_own_timeout_may_take_longer(no_grace: None) -> None:
    class Slow:
        description: ClassVar[str] = "waits longer than the others may"
        for_tenants: ClassVar[bool] = False

        def __init__(self, context: CheckContext = CONTEXT) -> None:
            self.waited = threading.Event()

        def probes(self) -> list[Probe]:
            return [Probe("slow", self.look, timeout=20.0), Probe("hung", lambda: self.look(20.0))]

        def look(self, seconds: float = 0.4) -> list[Finding]:
            self.waited.wait(seconds)
            return [well("slow")]

    check = Slow()
    found = Runner(workers=2, timeout=0.2).run("c", check)
    check.waited.set()
    assert {one.target: one.failed for one in found.findings} == {"slow": False, "hung": True}
