"""What the plugins of a trial implement, and how they are found by name.

The namespaces of stevedore are ``eventalarm.trial.stage``, ``.runner``, ``.disruptor`` and ``.monitor``. An
entry point of a stage is a :data:`StageFactory`; one of the others is a :data:`Factory`. A factory checks its
options and touches nothing: a dry run builds everything and only calls ``plan``.

A trial opens its stage, starts monitors and runners, makes its disruptions, heals them on every exit, stops
the runners, lets the stage settle and collect, and stops the monitors. All methods are called by one thread,
but those of each disruptor, and ``sample`` of each monitor, by a thread of their own.
"""

from __future__ import annotations

import pathlib
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from eventalarm.exceptions import EventAlarmError

STAGE: Final = "eventalarm.trial.stage"
RUNNER: Final = "eventalarm.trial.runner"
DISRUPTOR: Final = "eventalarm.trial.disruptor"
MONITOR: Final = "eventalarm.trial.monitor"
# The options of a plugin, as the scenario has them, without those that the engine reads itself.
Options = Mapping[str, Any]


class Refused(EventAlarmError):
    """The trial must not begin, though nothing is wrong with its scenario; the message has the remedy."""


@dataclass(frozen=True)
class Sample:
    """One look of a monitor: *at* in epoch seconds, how many *seconds* it took, and whether all was well.

    *figures* are further numbers by name; *detail* says what was wrong.
    """

    at: float
    seconds: float
    is_ok: bool
    detail: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Notification:
    """One webhook that a monitor received, at *at* in epoch seconds.

    *is_probe* is true for the webhooks of the alarms that a runner has made, which concern no disruption.
    """

    at: float
    alarm: str
    state: str
    severity: str = ""
    resource: str = ""
    is_probe: bool = False


@dataclass(frozen=True)
class Effect:
    """What the history checker must know about a disruption, as in its record ``strike``.

    *hosts* are those that it breaks: the trial makes it only if the command line names all of them. It is
    empty for what the stage itself has started.
    """

    hosts: tuple[str, ...] = ()
    target: str = ""
    ends_process: bool = False
    survivable: bool = False


class Recorder(Protocol):
    """The history of a trial: records of ``eventalarm.trial.history``; safe to share between threads."""

    def add(self, *records: Any) -> None:
        """Append records."""


class Stage(Protocol):
    """The cloud that is disrupted."""

    def plan(self) -> Sequence[str]:
        """Return what :meth:`open` would do, one line for each thing; touches nothing."""

    def open(self) -> None:
        """Start the cloud, or make sure that it is there.

        :raises EventAlarmError: with the remedy, if it cannot be used; :meth:`close` is called all the same.
        """

    def settle(self, seconds: float) -> Sequence[str]:
        """Wait at most *seconds* until all work is done; return what is not, one line for each thing."""

    def collect(self) -> None:
        """Add what is known only at the end to the history, such as the rows of the database."""

    def close(self) -> None:
        """Release everything; may be called more than once."""


@dataclass(frozen=True)
class Context:
    """What a plugin is built with.

    *chance* is its own source of randomness, which follows from the seed of the trial and its place in the
    scenario. *directory* is where it may write; *clock* returns epoch seconds; *say* shows progress.
    *permitted* are the hosts that may be broken; *state* is the file of what is broken; with *ignore_health*
    the trial begins although a monitor finds the cloud ill.
    """

    history: Recorder
    chance: random.Random
    directory: pathlib.Path
    clock: Callable[[], float]
    say: Callable[[str], None]
    name: str = ""
    stage: Stage | None = None
    permitted: frozenset[str] = frozenset()
    ignore_health: bool = False
    state: pathlib.Path = pathlib.Path()


class Runner(Protocol):
    """What loads the cloud while it is disrupted."""

    def plan(self) -> Sequence[str]:
        """Return what :meth:`start` would do, one line for each thing; touches nothing."""

    def start(self) -> None:
        """Begin, in threads or processes of its own, and return."""

    def stop(self) -> None:
        """End, and wait until it has ended; may be called more than once, also without :meth:`start`."""

    def close(self) -> None:
        """Remove what it has made; called after the stage has settled, also if :meth:`start` failed."""

    def results(self) -> Mapping[str, float]:
        """Return the numbers for the report, after :meth:`stop`."""

    def problems(self) -> Sequence[str]:
        """Return what makes the trial fail, one line for each thing, after :meth:`stop`."""


class Disruptor(Protocol):
    """One disruption, which may be made repeatedly."""

    name: str
    effect: Effect

    def plan(self) -> Sequence[str]:
        """Return what would be done where, and its undo, one line for each thing; touches nothing."""

    def strike(self, seconds: float, over: threading.Event) -> None:
        """Break it, and return after *seconds*, or as soon as *over* is set.

        :raises EventAlarmError: if it cannot be broken; the trial is then invalid.
        """

    def heal(self) -> float | None:
        """Undo :meth:`strike`, and wait until it works again; harmless if there is nothing to undo.

        It is called after every strike, whatever became of it, also on SIGTERM and Ctrl-C. Return in how many
        seconds others had taken over, if that was measured.
        """


class Monitor(Protocol):
    """What watches the cloud; a monitor with an *interval* is sampled by the engine."""

    interval: float | None

    def plan(self) -> Sequence[str]:
        """Return what is asked where, one line for each thing; touches nothing."""

    def start(self) -> None:
        """Get ready.

        :raises EventAlarmError: with the remedy, if the trial must not begin.
        """

    def sample(self) -> Sample | None:
        """Look once; what cannot be reached is a sample that is not ok, not an exception."""

    def stop(self) -> None:
        """Release everything; may be called more than once."""


@runtime_checkable
class Receiver(Protocol):
    """A monitor that receives webhooks."""

    def notifications(self) -> Sequence[Notification]:
        """Return what was received so far, the oldest first."""


Factory = Callable[[Context, Options], Any]
StageFactory = Callable[[Context, Options], Stage]
