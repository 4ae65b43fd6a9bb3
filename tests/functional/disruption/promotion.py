"""A PostgreSQL standby promoted behind HAProxy: its primary is killed, frozen, or has a wrong clock."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence

from eventalarm.trial.history.records import Strike, Transition
from eventalarm.trial.own_cloud.play import Finding, Play
from eventalarm.trial.own_cloud.progress import Progress
from eventalarm.trial.own_cloud.stage import Ground, epoch
from tests.functional.disruption.cluster import load
from tests.support.databases import PostgresqlDatabases
from tests.support.postgresql_cluster import PostgresqlCluster

# Seconds that the clock of one node is ahead of the other's, within [eventalarm] max_clock_skew.
SKEW = 0.4
HOUR = 3600.0
# Seconds of load after each disruption, and with a clock that has jumped.
AFTERWARDS = 3.0
# Seconds for which the standby is cut off before it is promoted.
BEHIND = 2.0
# Seconds from the time that an event carries to the beginning of its publishing.
DATED_WITHIN = 1.0
JUMPED = 6.0
SESSIONS_LEFT = "HAProxy left {} sessions on node {}, whose standby was promoted"

Strikes = Sequence[Callable[["_Trial"], Strike]]


def postgresql_failover(
    ground: Ground,
    directory: pathlib.Path,
    progress: Progress,
    *,
    rounds: int = 3,
    seed: int = 1,
) -> Finding:
    """Kill the primary, freeze the next one, and let the clock of a primary jump, in *rounds* under load.

    Each time the standby is promoted, HAProxy sends sessions to it, and the former primary becomes its
    standby. The nodes' clocks differ. Commits are synchronous: nothing may be lost or fire twice.
    """
    progress.say("starting a PostgreSQL primary, its standby and HAProxy")
    cluster = PostgresqlCluster(directory)
    supply = PostgresqlDatabases(cluster.url, directory)
    ground = dataclasses.replace(ground, database=cluster, new_url=supply.with_ours)
    try:
        trial = (kill, kill_behind, freeze, jump_ahead, jump_back)
        return fail_over(ground, cluster, directory, progress, strikes=trial, rounds=rounds, seed=seed)
    finally:
        cluster.stop()


def fail_over(
    ground: Ground,
    cluster: PostgresqlCluster,
    directory: pathlib.Path,
    progress: Progress,
    *,
    strikes: Strikes,
    rounds: int,
    seed: int = 1,
) -> Finding:
    """Do *strikes* to the *cluster* of *ground* under load, in *rounds*; find what was lost or doubled."""
    cluster.set_ahead("b", SKEW)
    play = Play(ground, directory, ["healthy"], progress, seed, listeners=2)
    try:
        return _Trial(play, cluster).run(rounds, strikes)
    finally:
        play.close()


class _Trial:
    """The play on a cluster, and what was found wrong besides the verdict on its history."""

    def __init__(self, play: Play, cluster: PostgresqlCluster) -> None:
        self.play = play
        self.cluster = cluster
        self.wrong: list[str] = []

    def run(self, rounds: int, strikes: Strikes) -> Finding:
        """Do the strikes in every round while events are published, and judge the history."""
        play = self.play
        alarms = play.alarms("healthy", 50)
        for listener in play.stage.listeners:
            listener.start(wait=True)
        with load(play, alarms):
            for number in range(rounds):
                for strike in strikes:
                    play.progress.say(f"round {number + 1} of {rounds}: {strike.__name__}")
                    if not self.cluster.has_standby:
                        self.cluster.rejoin()
                    play.stage.history.add(strike(self))
                    time.sleep(AFTERWARDS)
        play.latencies(set(play.published))
        play.idle("the queue")
        # The history does not know when which clock was wrong: with this it believes any of its times.
        verdict = play.verdict("postgresql-failover", skew=HOUR)
        self._check_event_times()
        figures = {
            **verdict.counts,
            "late": float(verdict.numbers["late transitions"]),
            "promotions": float(self.cluster.promotions),
        }
        wrong = [*verdict.problems, *self.wrong]
        return Finding("postgresql-failover", figures, wrong, play.rows(verdict))

    def _check_event_times(self) -> None:
        """Every event was generated when it was published, whatever the database's clock showed."""
        published = self.play.published
        rows = self.play.stage.history.of(Transition)
        misdated = sum(abs(row.event_time - published[row.message_id]) > DATED_WITHIN for row in rows)
        if misdated:
            self.wrong.append(f"{misdated} events count as generated at the wrong time")

    def clock(self, seconds: float) -> Strike:
        """Let the clock of the primary jump, and back."""
        leader = self.cluster.leader
        usual = SKEW if leader == "b" else 0.0
        began = epoch()
        self.cluster.set_ahead(leader, usual + seconds)
        time.sleep(JUMPED)
        self.cluster.set_ahead(leader, usual)
        return _survivable(began, f"clock of the primary {seconds:+.0f} s")


def kill(trial: _Trial) -> Strike:
    """Kill the primary, and promote the standby."""
    began = epoch()
    trial.cluster.kill_one(trial.cluster.leader)
    trial.cluster.promote()
    return _survivable(began, "primary killed")


def kill_behind(trial: _Trial) -> Strike:
    """Cut the standby off, so that commits wait for it, then kill the primary and promote the standby."""
    began = epoch()
    trial.cluster.cut_standby_off()
    time.sleep(BEHIND)
    trial.cluster.kill_one(trial.cluster.leader)
    trial.cluster.promote()
    return _survivable(began, "standby cut off, primary killed")


def freeze(trial: _Trial) -> Strike:
    """Freeze the primary, promote the standby, and let the former one run on beside it."""
    cluster = trial.cluster
    began = epoch()
    former = cluster.leader
    cluster.freeze(former)
    cluster.promote()
    cluster.thaw(former)
    # Long enough for the former primary to get sessions, if HAProxy sends it any.
    time.sleep(AFTERWARDS)
    if left := cluster.proxy.sessions()[former]:
        trial.wrong.append(SESSIONS_LEFT.format(left, former))
    return _survivable(began, "primary frozen")


def jump_ahead(trial: _Trial) -> Strike:
    """Let the clock of the primary jump ahead, and back."""
    return trial.clock(HOUR)


def jump_back(trial: _Trial) -> Strike:
    """Let the clock of the primary jump back, and ahead."""
    return trial.clock(-HOUR)


def _survivable(began: float, name: str) -> Strike:
    return Strike(began, epoch(), name, ends_process=False, survivable=True)
