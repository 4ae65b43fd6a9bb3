"""The engine: load and monitors run while a schedule is carried out; then all is accounted for."""

from __future__ import annotations

import contextlib
import threading
from typing import Final

from eventalarm.trial.build import Built
from eventalarm.trial.history.availability import availability
from eventalarm.trial.history.check import check
from eventalarm.trial.history.records import Publish, Receipt, Run, Strike
from eventalarm.trial.history.verdict import Verdict
from eventalarm.trial.outcome import Made, Outcome, alone
from eventalarm.trial.plugins import Notification, Receiver
from eventalarm.trial.sampling import Sampling, Ticker
from eventalarm.trial.schedule import Sequel
from eventalarm.trial.strikes import Strikes

# Seconds to settle after an interruption.
SHORTLY: Final = 5.0


def run(built: Built, timed: Sequel, over: threading.Event) -> Outcome:
    """Make a trial; once *over* is set it heals everything, and returns what is known.

    :raises Refused: if it must not begin.
    :raises EventAlarmError: if the stage, a monitor or a runner cannot be started; nothing was disrupted.
    """
    setup, scenario = built.setup, built.scenario
    with contextlib.ExitStack() as stack:
        stack.callback(built.stage.close)
        built.stage.open()
        for monitor in built.monitors.values():
            stack.callback(monitor.stop)
            monitor.start()
        sampling = Sampling(built.monitors, setup.clock)
        stack.callback(sampling.stop)
        for runner in built.runners.values():
            stack.callback(runner.close)
            stack.callback(runner.stop)
            runner.start()
        began = setup.clock()
        sampling.start()
        strikes = Strikes(tuple(scenario.disruptions()), built.disruptors, over, setup.clock, setup.say)
        ticker = Ticker(setup.say, lambda: _progress(built, strikes, sampling))
        stack.callback(ticker.finish)
        ticker.start()
        strikes.play(timed)
        setup.say("no further disruption; waiting until all work is done")
        for runner in built.runners.values():
            runner.stop()
        problems = built.stage.settle(min(scenario.settle, SHORTLY) if over.is_set() else scenario.settle)
        sampling.stop()
        built.stage.collect()
        return _outcome(
            built, alone(strikes.made), sampling, began, tuple(problems), interrupted=over.is_set()
        )


def _progress(built: Built, strikes: Strikes, sampling: Sampling) -> str:
    parts = (
        f"broken: {strikes.now or 'nothing'}",
        sampling.summary(),
        f"{len(built.history.of(Publish))} messages of events",
        f"{len(built.history.of(Receipt))} webhooks",
    )
    return "; ".join(one for one in parts if one)


def _outcome(
    built: Built,
    made: tuple[Made, ...],
    sampling: Sampling,
    began: float,
    unsettled: tuple[str, ...],
    *,
    interrupted: bool,
) -> Outcome:
    history = built.history
    if not history.of(Run):
        history.add(Run(built.scenario.name, built.setup.seed))
    history.add(*map(_strike, made))
    has_events = bool(history.of(Publish))
    verdict = check(history) if has_events else Verdict()
    problems = [f"{name}: {problem}" for name, one in built.runners.items() for problem in one.problems()]
    return Outcome(
        name=built.scenario.name,
        stage=built.scenario.stage.use,
        seed=built.setup.seed,
        began=began,
        ended=built.setup.clock(),
        made=made,
        watched=sampling.watched(),
        notifications=_notifications(built),
        results={name: one.results() for name, one in built.runners.items()},
        problems=(*problems, *unsettled),
        verdict=verdict,
        rows=tuple(availability(history, verdict)) if has_events else (),
        is_interrupted=interrupted,
        has_receiver=any(isinstance(one, Receiver) for one in built.monitors.values()),
        limits=built.scenario.limits,
    )


def _strike(made: Made) -> Strike:
    effect = made.effect
    return Strike(
        made.began,
        made.ended,
        made.name,
        ends_process=effect.ends_process,
        survivable=effect.survivable,
        target=effect.target,
        taken_over=made.taken_over,
        alone=made.is_alone,
    )


def _notifications(built: Built) -> tuple[Notification, ...]:
    found = [
        one
        for monitor in built.monitors.values()
        if isinstance(monitor, Receiver)
        for one in monitor.notifications()
    ]
    return tuple(sorted(found, key=lambda one: one.at))
