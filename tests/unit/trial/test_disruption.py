"""What the disruptors of a cloud of its own share: they undo only what they did, and end early when asked."""

from __future__ import annotations

import random
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from eventalarm.trial.own_cloud.disruption import Disruption
from eventalarm.trial.own_cloud.disruptors import STRIKES, CutLink, KillBroker, Misbehave
from eventalarm.trial.own_cloud.listener_disruptors import KillListener, KillListenerAtOnce, StopListener
from eventalarm.trial.own_cloud.service_disruptors import MORE


class Service:
    """Stands in for a broker, and writes down what is done to it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failures = 0

    def kill(self) -> None:
        self.calls.append("kill")

    def start(self) -> None:
        self.calls.append("start")
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no")


def not_open() -> Any:
    raise AssertionError("the stage was used")


def on(service: Service) -> KillBroker:
    stage: Any = SimpleNamespace(ground=SimpleNamespace(rabbitmq=service), outage=(0.0, 1.0))
    return KillBroker(lambda: stage, random.Random(1))


@pytest.mark.parametrize("kind", [*STRIKES.values(), *MORE.values(), Misbehave])
def test_what_did_not_strike_heals_without_touching_anything(kind: Any) -> None:
    disruption: Disruption = kind(not_open, random.Random(1))
    assert disruption.heal() is None
    assert disruption.plan()


def test_a_strike_is_undone_once() -> None:
    service = Service()
    disruption = on(service)
    disruption.strike(0.0, threading.Event())
    disruption.heal()
    disruption.heal()
    assert service.calls == ["kill", "start"]


def test_what_could_not_be_undone_is_tried_again() -> None:
    service = Service()
    service.failures = 1
    disruption = on(service)
    disruption.strike(0.0, threading.Event())
    with pytest.raises(RuntimeError):
        disruption.heal()
    disruption.heal()
    assert service.calls == ["kill", "start", "start"]


def test_a_strike_returns_when_the_trial_is_over() -> None:
    over = threading.Event()
    over.set()
    began = time.monotonic()
    on(Service()).strike(60.0, over)
    assert time.monotonic() - began < 10.0


@pytest.mark.parametrize("kind", [KillListener, KillListenerAtOnce, StopListener])
def test_what_befalls_a_listener_may_leave_answers_unrecorded_and_others_go_on(kind: Any) -> None:
    effect = kind(not_open, random.Random(1)).effect
    assert (effect.ends_process, effect.survivable) == (True, True)


@pytest.mark.parametrize(("to", "ends_process"), [("database", True), ("broker", False)])
def test_only_without_its_database_a_process_cannot_record_an_answer(to: str, ends_process: bool) -> None:
    assert CutLink(not_open, random.Random(1), kind=to).effect.ends_process is ends_process


def test_a_consumer_that_misbehaves_is_the_target() -> None:
    disruption = Misbehave(not_open, random.Random(1), mode="break TLS")
    assert disruption.effect.target == disruption.target == "tls"
