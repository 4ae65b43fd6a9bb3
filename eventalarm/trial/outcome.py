"""What a trial has shown: what was disrupted, noticed, lost, and available. Pure."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from eventalarm.patterns import matches_glob
from eventalarm.trial.history.availability import Availability
from eventalarm.trial.history.verdict import DOUBLED, LOST, Verdict
from eventalarm.trial.plugins import Effect, Notification, Sample
from eventalarm.trial.scenario import Limits

ALARM: Final = "alarm"
PASSED, FAILED, ERROR, REFUSED, INTERRUPTED, LEFT = range(6)


@dataclass(frozen=True)
class Made:
    """One disruption: broken from *began*, repaired from *undone*, and working again at *ended* (epoch).

    *error* says why it could not be made or undone; if it *is_left*, it was not undone.
    """

    name: str
    effect: Effect
    began: float
    undone: float
    ended: float
    noticed_by: str = ""
    error: str = ""
    is_left: bool = False
    is_alone: bool = True
    taken_over: float | None = None


@dataclass(frozen=True)
class Noticed:
    """The first notification after a disruption, *latency* seconds after it began; None if there was none."""

    alarm: str = ""
    latency: float | None = None


@dataclass(frozen=True)
class Watched:
    """The samples of one monitor, in their order."""

    name: str
    samples: tuple[Sample, ...]

    @property
    def percent(self) -> float:
        """How many samples were good, in percent; 100 without any."""
        good = sum(one.is_ok for one in self.samples)
        return 100.0 * good / len(self.samples) if self.samples else 100.0

    def outages(self) -> Iterator[tuple[float, float, str]]:
        """Yield begin, end and first detail of each time of bad samples; the end is the next good sample."""
        began, detail = None, ""
        for one in self.samples:
            if one.is_ok and began is not None:
                yield began, one.at, detail
                began = None
            elif not one.is_ok and began is None:
                began, detail = one.at, one.detail
        if began is not None:
            last = self.samples[-1]
            yield began, last.at + last.seconds, detail

    @property
    def longest(self) -> float:
        """The longest time of bad samples, in seconds."""
        return max((ended - began for began, ended, _ in self.outages()), default=0.0)

    def latency(self) -> tuple[float, float]:
        """Return the median and the 99th percentile of the good samples, in seconds."""
        good = sorted(one.seconds for one in self.samples if one.is_ok)
        if not good:
            return 0.0, 0.0
        return statistics.median(good), good[max(1, math.ceil(len(good) * 0.99)) - 1]


@dataclass(frozen=True)
class Outcome:
    """Everything that is known at the end; times are in epoch seconds.

    What was noticed is known only if the trial *has_receiver*.
    """

    name: str
    stage: str
    seed: int
    began: float
    ended: float
    made: tuple[Made, ...]
    watched: tuple[Watched, ...]
    notifications: tuple[Notification, ...]
    results: Mapping[str, Mapping[str, float]]
    problems: tuple[str, ...]
    verdict: Verdict
    rows: tuple[Availability, ...]
    is_interrupted: bool = False
    has_receiver: bool = True
    limits: Limits = dataclasses.field(default_factory=Limits)

    @property
    def noticed(self) -> list[Noticed]:
        """The first notification after each disruption."""
        return noticed(self.made, self.notifications)

    @property
    def lost(self) -> int:
        """How many events, or their webhooks, were lost."""
        return sum(self.verdict.errors[kind] for kind in LOST)

    @property
    def doubled(self) -> int:
        """How many were doubled without a reason."""
        return sum(self.verdict.errors[kind] for kind in DOUBLED)

    @property
    def errors(self) -> list[str]:
        """Why disruptions could not be made or undone."""
        return [f"{one.name}: {one.error}" for one in self.made if one.error]

    @property
    def failures(self) -> list[str]:
        """What the limits do not allow."""
        return list(_failures(self))

    @property
    def code(self) -> int:
        """The exit code."""
        if any(one.is_left for one in self.made):
            return LEFT
        if self.is_interrupted:
            return INTERRUPTED
        if self.errors:
            return ERROR
        return FAILED if self.failures else PASSED


def noticed(made: Sequence[Made], notifications: Sequence[Notification]) -> list[Noticed]:
    """Return the first notification after each disruption, before the next one of the same name.

    It is one of state alarm of an alarm whose name matches ``noticed_by``, or of any alarm but those of a
    runner.
    """
    return [_first(place, made, notifications) for place in range(len(made))]


def _first(place: int, made: Sequence[Made], notifications: Sequence[Notification]) -> Noticed:
    one = made[place]
    again = (other.began for other in made if other.name == one.name and other.began > one.began)
    until = min(again, default=math.inf)
    for found in notifications:
        is_about = matches_glob(found.alarm, one.noticed_by) if one.noticed_by else True
        is_in_time = one.began <= found.at < until
        if found.state == ALARM and not found.is_probe and is_in_time and is_about:
            return Noticed(found.alarm, found.at - one.began)
    return Noticed()


def alone(made: Sequence[Made]) -> tuple[Made, ...]:
    """Return the disruptions with the knowledge whether another one overlapped."""
    return tuple(
        dataclasses.replace(
            one,
            is_alone=not any(
                other is not one and other.began <= one.ended and one.began <= other.ended for other in made
            ),
        )
        for one in made
    )


def _failures(outcome: Outcome) -> Iterator[str]:
    limits = outcome.limits
    for name, number, most in (
        ("lost", outcome.lost, limits.lost),
        ("doubled", outcome.doubled, limits.doubled),
    ):
        if number > most:
            yield f"{number} events were {name}, {most} may be"
    for kind, number in outcome.verdict.errors.items():
        if kind not in (*LOST, *DOUBLED):
            yield f"{kind}: {number} times"
    yield from outcome.problems
    yield from _unnoticed(outcome)
    yield from _unavailable(outcome)


def _unnoticed(outcome: Outcome) -> Iterator[str]:
    most = outcome.limits.noticed
    for made, found in zip(outcome.made, outcome.noticed, strict=True):
        if (most is None and not made.noticed_by) or made.error:
            continue
        if found.latency is None:
            yield f"{made.name}: no alarm {made.noticed_by or 'of any name'} reported it"
        elif most is not None and found.latency > most:
            yield f"{made.name}: noticed after {found.latency:.1f} s, {most:g} s are allowed"


def _unavailable(outcome: Outcome) -> Iterator[str]:
    for one in outcome.watched:
        least = outcome.limits.availability.get(one.name)
        if least is not None and one.percent < least:
            yield f"{one.name}: available for {one.percent:.2f} %, {least:g} % are required"
        longest = outcome.limits.outage.get(one.name)
        if longest is not None and one.longest > longest:
            yield f"{one.name}: not available for {one.longest:.1f} s at once, {longest:g} s are allowed"


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return everything as an object of JSON, samples included."""
    return {
        "scenario": outcome.name,
        "stage": outcome.stage,
        "seed": outcome.seed,
        "began": outcome.began,
        "ended": outcome.ended,
        "interrupted": outcome.is_interrupted,
        "exit_code": outcome.code,
        "failures": outcome.failures,
        "errors": outcome.errors,
        "limits": dataclasses.asdict(outcome.limits),
        "disruptions": [
            dataclasses.asdict(made) | {"noticed": dataclasses.asdict(found)}
            for made, found in zip(outcome.made, outcome.noticed, strict=True)
        ],
        "events": {
            "lost": outcome.lost,
            "doubled": outcome.doubled,
            "numbers": dict(outcome.verdict.numbers),
            "errors": dict(outcome.verdict.errors),
            "problems": outcome.verdict.problems,
        },
        "event_availability": [dataclasses.asdict(one) | {"level": one.level} for one in outcome.rows],
        "monitors": [_watched_json(one) for one in outcome.watched],
        "runners": {name: dict(numbers) for name, numbers in outcome.results.items()},
        "notifications": [dataclasses.asdict(one) for one in outcome.notifications],
    }


def _watched_json(one: Watched) -> dict[str, Any]:
    return {
        "name": one.name,
        "percent": one.percent,
        "longest_outage": one.longest,
        "outages": [
            {"began": began, "ended": ended, "detail": detail} for began, ended, detail in one.outages()
        ],
        "samples": [dataclasses.asdict(sample) for sample in one.samples],
    }
