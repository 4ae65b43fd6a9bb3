"""Every strike is healed: whatever it raises, and whenever the trial ends."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence

import pytest

from eventalarm.trial import strikes as module
from eventalarm.trial.outcome import Made
from eventalarm.trial.plugins import Effect
from eventalarm.trial.scenario import parse
from eventalarm.trial.schedule import schedule
from eventalarm.trial.strikes import Strikes


class Fake:
    """A disruptor that breaks nothing; *failures* are raised by strike, then by each heal."""

    effect = Effect()

    def __init__(self, log: list[str], name: str, *failures: BaseException | None) -> None:
        self.name = name
        self._log = log
        self._failures = itertools.chain(failures, itertools.repeat(None))
        self.then: Callable[[], None] = lambda: None

    def plan(self) -> Sequence[str]:
        return ()

    def strike(self, seconds: float, over: threading.Event) -> None:
        self._note("strike")
        self.then()
        over.wait(seconds)

    def heal(self) -> float | None:
        self._note("heal")
        return 1.5

    def _note(self, what: str) -> None:
        self._log.append(f"{what} {self.name}")
        if (failure := next(self._failures)) is not None:
            raise failure


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEALING_PAUSE", 0.0)


def play(
    over: threading.Event, *fakes: Fake, together: bool = False, seconds: float = 0.0
) -> tuple[Made, ...]:
    items = [{"use": "x", "name": one.name, "seconds": seconds} for one in fakes]
    plan = [{"together": items}] if together else items
    scenario = parse({"stage": {"use": "s"}, "before": 0, "after": 0, "disruptions": plan})
    ticks = itertools.count()
    one = Strikes(tuple(scenario.disruptions()), fakes, over, lambda: float(next(ticks)), lambda text: None)
    one.play(schedule(scenario))
    return one.made


def test_each_is_healed_before_the_next_begins() -> None:
    log: list[str] = []
    made = play(threading.Event(), Fake(log, "a"), Fake(log, "b"))
    assert log == ["strike a", "heal a", "strike b", "heal b"]
    assert [(one.name, one.error, one.taken_over) for one in made] == [("a", "", 1.5), ("b", "", 1.5)]


@pytest.mark.parametrize("failure", [ValueError("refused"), KeyboardInterrupt(), SystemExit(3)])
def test_what_fails_is_healed_and_ends_the_trial(failure: BaseException) -> None:
    log: list[str] = []
    (made,) = play(threading.Event(), Fake(log, "a", failure), Fake(log, "b"))
    assert log == ["strike a", "heal a"]
    assert made.error == (str(failure) or type(failure).__name__)
    assert not made.is_left


def test_an_undo_that_fails_is_repeated() -> None:
    log: list[str] = []
    (made,) = play(threading.Event(), Fake(log, "a", None, OSError("away"), OSError("away")))
    assert log == ["strike a", *["heal a"] * 3]
    assert (made.error, made.is_left) == ("", False)


def test_what_cannot_be_undone_is_known() -> None:
    log: list[str] = []
    (made,) = play(threading.Event(), Fake(log, "a", None, *[OSError("away")] * 3), Fake(log, "b"))
    assert (made.error, made.is_left) == ("not undone: away", True)
    assert log[-1] == "heal a"


def test_once_it_is_over_everything_is_healed_and_nothing_else_struck() -> None:
    """Red if a strike lasts its time all the same, or the one beside it is not healed."""
    log: list[str] = []
    over, both = threading.Event(), threading.Barrier(2)
    one, other = Fake(log, "a"), Fake(log, "b")

    def end() -> None:
        both.wait(10)
        over.set()

    one.then = other.then = end
    made = play(over, one, other, together=True, seconds=600)
    assert sorted(log) == ["heal a", "heal b", "strike a", "strike b"]
    assert [found.error for found in made] == ["", ""]
    assert play(over, Fake(log, "c")) == ()
    assert "strike c" not in log
