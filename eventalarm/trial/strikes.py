"""Making the disruptions of a schedule, and healing each one whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from eventalarm.trial.outcome import Made
from eventalarm.trial.plugins import Disruptor
from eventalarm.trial.scenario import Disruption
from eventalarm.trial.schedule import Parallel, Planned, Sequel, Timed, Wait

HEALINGS: Final = 3
# Seconds between two attempts to heal.
HEALING_PAUSE: Final = 1.0


class Strikes:
    """Carries out a schedule. After one that fails, and once *over* is set, no further one is made."""

    def __init__(
        self,
        disruptions: Sequence[Disruption],
        disruptors: Sequence[Disruptor],
        over: threading.Event,
        clock: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self._disruptions = disruptions
        self._disruptors = disruptors
        self._over = over
        self._clock = clock
        self._say = say
        self._made: list[Made] = []
        self._failed = threading.Event()
        self._now: list[str] = []

    @property
    def made(self) -> tuple[Made, ...]:
        """What was made so far, in the order in which it began."""
        return tuple(sorted(self._made, key=lambda one: one.began))

    @property
    def now(self) -> str:
        """What is broken now, for a line of progress."""
        return ", ".join(self._now)

    def play(self, timed: Timed) -> None:
        """Return when it is over, everything is healed."""
        if self._over.is_set() or self._failed.is_set():
            return
        if isinstance(timed, Wait):
            self._over.wait(timed.seconds)
        elif isinstance(timed, Planned):
            self._make(timed)
        elif isinstance(timed, Sequel):
            for one in timed.items:
                self.play(one)
        else:
            self._together(timed)

    def _together(self, parallel: Parallel) -> None:
        threads = [threading.Thread(target=self.play, args=(one,)) for one in parallel.items]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _make(self, planned: Planned) -> None:
        disruption, disruptor = self._disruptions[planned.place], self._disruptors[planned.place]
        name = disruption.part.name
        self._say(f"{name}, for {planned.seconds:g} s")
        self._now.append(name)
        began, problem = self._clock(), ""
        try:
            disruptor.strike(planned.seconds, self._over)
        except BaseException as exc:  # noqa: BLE001 - it must be healed, and then the trial ends
            problem = _words(exc)
        undone = self._clock()
        left, taken_over = self._heal(name, disruptor)
        ended = self._clock()
        self._now.remove(name)
        if problem or left:
            self._failed.set()
        self._say(f"{name}: {problem or left or f'works again {ended - undone:.1f} s after its end'}")
        self._made.append(
            Made(
                name,
                disruptor.effect,
                began,
                undone,
                ended,
                disruption.noticed_by,
                "; ".join(one for one in (problem, left) if one),
                bool(left),
                taken_over=taken_over,
            )
        )

    def _heal(self, name: str, disruptor: Disruptor) -> tuple[str, float | None]:
        """Return why it could not be healed, or nothing, and the seconds until others had taken over."""
        problem = ""
        for number in range(HEALINGS):
            try:
                taken_over = disruptor.heal()
            except BaseException as exc:  # noqa: BLE001 - the others must be healed, too
                problem = f"not undone: {_words(exc)}"
                self._say(f"{name}: {problem}, attempt {number + 1} of {HEALINGS}")
                if number + 1 < HEALINGS:
                    # Not a wait for *over*, which is set already if the trial is being ended.
                    threading.Event().wait(HEALING_PAUSE)
            else:
                return "", taken_over
        return problem, None


def _words(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
