"""The rig: runners, disruptors and monitors on one stage; at the end all results are collected."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Sequence

from eventalarm.trial.history.availability import Availability, availability
from eventalarm.trial.history.check import check
from eventalarm.trial.history.records import Receipt, Run, Strike, Transition
from eventalarm.trial.history.verdict import Verdict
from eventalarm.trial.own_cloud import monitors
from eventalarm.trial.own_cloud.collect import collect
from eventalarm.trial.own_cloud.consumers import ANSWERS, OK
from eventalarm.trial.own_cloud.disruptors import STRIKES
from eventalarm.trial.own_cloud.load.runners import EventLoad, Publisher
from eventalarm.trial.own_cloud.load.stories import Plan, Writer
from eventalarm.trial.own_cloud.load.users import Users
from eventalarm.trial.own_cloud.play import HISTORY
from eventalarm.trial.own_cloud.progress import Progress
from eventalarm.trial.own_cloud.service_disruptors import possible
from eventalarm.trial.own_cloud.settling import settle
from eventalarm.trial.own_cloud.stage import Ground, Stage
from eventalarm.trial.own_cloud.striker import Moods, Striker, Used

FIRING_RESUMES = 5.0
DEFAULT_LEASE = 6.0
# A consumer that misbehaves soon works again, also at a URL that it said is gone.
PATIENT = {
    "retry_max": 2.0,
    "retry_after_max": 2.0,
    "circuit_probe_max": 2.0,
    "circuit_disable_gone": False,
}
DATABASE_AWAY = (
    "kill mariadb",
    "kill postgresql",
    "cut database link",
    "database disk full",
    "database read-only",
)


@dataclasses.dataclass(frozen=True)
class Setup:
    """One run. ``rounds`` is how often every strike is made (None: for as long as the load lasts); ``outage``
    bounds how long services are away. With ``more``, services also refuse, and clocks jump. Times are in
    seconds.
    """

    seed: int = 1
    seconds: float = 60.0
    rate: float = 30.0
    users: float = 1.0
    lease: float = DEFAULT_LEASE
    pause: tuple[float, float] = (1.0, 4.0)
    together: float = 0.7
    rounds: int | None = None
    outage: tuple[float, float] = (0.0, 15.0)
    mood_lasts: tuple[float, float] = (1.0, 5.0)
    mood_pause: tuple[float, float] = (0.2, 2.0)
    patience: float = 120.0
    more: bool = False

    def delivery_options(self) -> dict[str, float]:
        """Return ``[eventalarm_delivery]``: enough attempts to outlast every misbehaviour of a consumer."""
        options = {"poll_interval": 0.2} if self.lease < DEFAULT_LEASE else {}
        return options | {"lease": self.lease, "max_attempts": 60, **PATIENT}


@dataclasses.dataclass
class Result:
    """The result of a run."""

    setup: Setup
    database: str
    verdict: Verdict
    recoveries: list[monitors.Recovery]
    memory: monitors.Memory
    samples: list[monitors.Sample]
    numbers: dict[str, float]
    missed: list[str]
    rows: list[Availability] = dataclasses.field(default_factory=list)

    @property
    def right(self) -> bool:
        """True if nothing was lost, duplicated, invented or out of order, and every recovery was in time."""
        return self.verdict.right and not self.missed


def run(ground: Ground, directory: pathlib.Path, setup: Setup, progress: Progress) -> Result:
    """Build a stage, disrupt it for the time of *setup*, wait until all work is done, and check its history.

    The history is in ``history.jsonl`` of *directory*.

    :raises RuntimeError: if the rig itself failed to make a strike.
    """
    stage = Stage(ground, directory, setup.delivery_options(), outage=setup.outage, clock=setup.more)
    try:
        return _Run(stage, setup, progress).go(directory / HISTORY)
    finally:
        stage.close()


class _Run:
    def __init__(self, stage: Stage, setup: Setup, progress: Progress) -> None:
        self._stage = stage
        self._setup = setup
        self._progress = progress
        self._receipts: list[Receipt] = []
        plan = Plan(setup.seed, setup.seconds, setup.rate)
        writer = Writer(plan, list(stage.actions.values()))
        self._stories = list(writer.stories())
        self._shared = writer.shared
        self._history = stage.history
        self._history.add(Run(f"disrupt on {stage.ground.database.name}", setup.seed))
        self._publisher = Publisher(stage.cloud.conf, self._history)
        self._load = EventLoad(self._stories, self._publisher, stage.committed)
        self._users = Users(
            stage.cloud.client,
            self._publisher,
            stage.committed,
            self._history,
            projects=sorted({story.alarm.project for story in self._stories}),
            actions=list(stage.actions.values()),
            seed=setup.seed,
            rate=setup.users,
        )
        self._striker = Striker(
            stage,
            seed=setup.seed,
            pause=setup.pause,
            together=setup.together,
            rounds=setup.rounds,
            strikes=STRIKES | possible(stage) if setup.more else STRIKES,
        )
        self._moods = Moods(stage, seed=setup.seed, lasts=setup.mood_lasts, pause=setup.mood_pause)
        self._watch = monitors.Watch(stage, progress.tick, self._about)

    def _receive(self) -> None:
        receipts = self._stage.consumers.results()
        self._receipts += receipts
        self._history.add(*receipts)

    def _about(self) -> str:
        self._receive()
        doing = f", now {self._striker.now}" if self._striker.now else ""
        return (
            f"{self._publisher.published:,} events, {len(self._receipts):,} POSTs, "
            f"{len(self._striker.used)} strikes{doing}"
        )

    def go(self, path: pathlib.Path) -> Result:
        """Do the whole run, and write its history."""
        fresh = [(story.alarm, story.clears) for story in self._stories if story.fresh]
        count = self._stage.insert([*((spec, False) for spec in self._shared), *fresh])
        self._progress.say(f"{len(self._stories):,} stories about {count:,} alarms")
        self._stage.start()
        self._progress.say("listeners take messages")
        for thread in (self._watch, self._load, self._users, self._moods, self._striker):
            thread.start()
        self._load.join(self._setup.seconds)
        if self._setup.rounds is not None:
            self._striker.join(self._setup.patience)
        self._striker.finish()
        self._moods.finish()
        self._progress.say("everything works again; waiting until all work is done")
        settled_in = self._settle()
        self._watch.finish()
        self._receive()
        if self._striker.failures:
            raise RuntimeError("a strike could not be made") from self._striker.failures[0]
        self._collect()
        self._history.write(path)
        return self._result(settled_in)

    def _settle(self) -> float:
        """Wait until all stories are published and queue and outbox are empty; return the seconds it took."""
        began = time.monotonic()
        deadline = began + self._setup.patience
        self._load.join(self._setup.patience)
        self._users.finish()
        settle(self._stage, self._publisher, deadline)
        self._publisher.close()
        return time.monotonic() - began

    # -- the result

    def _collect(self) -> None:
        """Add what was struck, and what is in the database, to the history."""
        self._history.add(*strikes(self._striker.used), *strikes(self._moods.used))
        lost = self._stage.lost_leases()
        self._history.add(*(Strike(one - self._setup.lease, one, "lost lease") for one in lost))
        collect(self._stage)

    def _result(self, settled_in: float) -> Result:
        used = [*self._striker.used, *self._moods.used]
        commits = [row.recorded_at for row in self._history.of(Transition)]
        accepted = [(one.began, one.consumer) for one in self._receipts if one.status == ANSWERS[OK][0]]
        found = monitors.recoveries(used, commits, accepted)
        numbers: dict[str, float] = {
            "messages": self._publisher.messages,
            "messages sent again by the publisher": self._publisher.resent,
            **self._load.counts,
            "seconds that the load was late at most": round(self._load.late_by, 2),
            "alarms created through the API": self._users.created,
            "requests that the API could not serve": self._users.refused,
            "most messages in the queue": max((s.queue or 0 for s in self._watch.samples), default=0),
            "most deliveries in the outbox": max((s.outbox or 0 for s in self._watch.samples), default=0),
            "leases lost": sum(one.name == "lost lease" for one in self._history.of(Strike)),
            "seconds to settle at the end": round(settled_in, 1),
        }
        verdict = check(self._history)
        return Result(
            self._setup,
            self._stage.ground.database.name,
            verdict,
            found,
            monitors.memory(self._watch.samples),
            self._watch.samples,
            numbers,
            missed(found, self._setup.lease),
            availability(self._history, verdict),
        )


def strikes(used: Sequence[Used]) -> list[Strike]:
    """Return the records of strikes; some ended, froze or cut off a process.

    While the database is away no result can be recorded either, so such a strike begins with that.
    """
    found = []
    away = [one for one in used if one.name in DATABASE_AWAY]
    for one in used:
        strike = Strike(
            one.began,
            one.back,
            one.name,
            ends_process=one.effect.ends_process,
            survivable=one.effect.survivable,
            target=one.effect.target,
            taken_over=one.taken_over,
            alone=one.alone,
        )
        if strike.ends_process:
            reach = [other.began for other in away if other.began <= one.began <= other.back + FIRING_RESUMES]
            ended = one.began if one.name == "kill listener" else one.back
            alone = one.alone and not reach
            strike = dataclasses.replace(strike, began=min([one.began, *reach]), ended=ended, alone=alone)
        found.append(strike)
    return found


def missed(found: Sequence[monitors.Recovery], lease: float) -> list[str]:
    """Describe the targets that were missed."""
    words = []
    for one in found:
        slow = [*one.commits, *one.deliveries]
        if one.name.startswith("kill") and slow and max(slow) > FIRING_RESUMES:
            words.append(f"{one.name}: firing resumed after {max(slow):.1f} s, not {FIRING_RESUMES:.0f}")
        if one.taken_over and max(one.taken_over) > lease:
            words.append(
                f"{one.name}: taken over after {max(one.taken_over):.1f} s, the lease is {lease:.0f}"
            )
    return words
