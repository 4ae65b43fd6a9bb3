"""Three Galera nodes behind HAProxy, with one writer or with three, each disrupted while events are fired."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
import random
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

import sqlalchemy as sa

from eventalarm.trial.history.availability import Availability, recovery
from eventalarm.trial.history.records import Edit, Strike
from eventalarm.trial.own_cloud.load.workload import AlarmSpec
from eventalarm.trial.own_cloud.play import SETTLE, Finding, Play
from eventalarm.trial.own_cloud.progress import Progress, wait
from eventalarm.trial.own_cloud.stage import Ground, epoch
from tests.functional.disruption.cluster import load
from tests.functional.disruption.galera_disruptors import CONTENTION, DISRUPTORS
from tests.support.databases import GaleraDatabases
from tests.support.galera import NODES, Galera, NodeCheck
from tests.support.haproxy import UP, Backend, HAProxy, HealthCheck

SINGLE, MULTI = "single writer", "multi-writer"
# Seconds that a node stays disrupted, and for which events are fired before each disruption.
AWAY, BEFORE = 10.0, 2.0
# Default timeouts of Galera: a silent node is suspected, and then excluded.
SUSPECT, INACTIVE = 5.0, 15.0
# Events per second in contention, alarms that are contended for, and renames of them per second.
CONTENDED_RATE, FEW, RENAMES = 60.0, 3, 5.0
COUNTERS = ("wsrep_local_cert_failures", "wsrep_local_bf_aborts")


@dataclasses.dataclass(frozen=True)
class Disrupted:
    """A disruption until the cluster was whole again, and when HAProxy found the node down."""

    name: str
    strike: Strike
    found: float | None


class Front:
    """HAProxy in front of the nodes: in ``mode`` SINGLE the first node, and the others as its backups."""

    def __init__(self, cluster: Galera, directory: pathlib.Path, mode: str) -> None:
        self._checks = {node: HealthCheck(NodeCheck(cluster.info["ports"][node])) for node in NODES}
        backends = [
            Backend(
                node,
                cluster.info["ports"][node],
                self._checks[node].port,
                mode == SINGLE and node != NODES[0],
            )
            for node in NODES
        ]
        self.haproxy = HAProxy(directory, backends, balance="roundrobin")

    def url(self, of_node: str) -> str:
        """Return the URL of a database through HAProxy, by its URL on a node."""
        return sa.make_url(of_node).set(port=self.haproxy.port).render_as_string(hide_password=False)

    def close(self) -> None:
        """End HAProxy and the checks."""
        self.haproxy.close()
        for check in self._checks.values():
            check.close()


def galera(
    ground: Ground,
    directory: pathlib.Path,
    progress: Progress,
    *,
    rounds: int = 2,
    seed: int = 1,
) -> Finding:
    """Disrupt nodes of a cluster in each mode of HAProxy; nothing may be lost or fire twice."""
    progress.say("starting three Galera nodes")
    cluster = Galera(directory)
    supply = GaleraDatabases(cluster, directory)
    ground = dataclasses.replace(ground, database=cluster, new_url=lambda: supply.with_ours()[0])
    figures: dict[str, float] = {}
    wrong: list[str] = []
    rows: list[Availability] = []
    try:
        for mode in (SINGLE, MULTI):
            place = directory / mode.replace(" ", "-")
            place.mkdir()
            found = behind_haproxy(ground, cluster, place, progress, mode=mode, rounds=rounds, seed=seed)
            figures |= {f"{mode}: {name}": value for name, value in found.figures.items()}
            wrong += [f"{mode}: {problem}" for problem in found.wrong]
            rows += found.rows
    finally:
        cluster.stop()
    return Finding("galera", figures, wrong, rows)


def behind_haproxy(
    ground: Ground,
    cluster: Galera,
    directory: pathlib.Path,
    progress: Progress,
    *,
    mode: str,
    disruptors: Collection[str] = tuple(DISRUPTORS),
    rounds: int = 1,
    away: float = AWAY,
    suspect: float = SUSPECT,
    seed: int = 1,
) -> Finding:
    """Disrupt the writer, or each node in turn in *mode* MULTI, in *rounds* of *disruptors*.

    *ground* has the *cluster* and makes databases on one node. Meanwhile events are fired, and users create
    and edit alarms through the Aodh API.
    """
    for node in NODES:
        times = {"evs__suspect_timeout": f"PT{suspect}S", "evs__inactive_timeout": f"PT{INACTIVE}S"}
        cluster.set_provider(node, **times)
    front = Front(cluster, directory, mode)
    try:
        url = front.url(ground.new_url())
        ground = dataclasses.replace(ground, new_url=lambda: url)
        play = Play(ground, directory, ["healthy"], progress, seed, listeners=2)
        try:
            trial = _Trial(play, cluster, front, mode, seed)
            trial.run([*disruptors] * rounds, away)
            return trial.finding()
        finally:
            play.close()
    finally:
        front.close()


class Renames(threading.Thread):
    """Renames a few alarms through the Aodh API, again and again, until it is finished."""

    def __init__(self, play: Play, alarms: Sequence[AlarmSpec], seed: int) -> None:
        super().__init__(name="renames", daemon=True)
        self._play = play
        self._alarms = alarms
        self._chance = random.Random(f"{seed} renames")
        self._over = threading.Event()
        self.refused = 0

    def run(self) -> None:
        """Work until stopped; called by ``start``."""
        for number in itertools.count():
            if self._over.wait(self._chance.expovariate(RENAMES)):
                return
            self._rename(self._chance.choice(self._alarms), f"renamed {number}")

    def _rename(self, spec: AlarmSpec, name: str) -> None:
        began, ended = epoch(), None
        try:
            self._play.stage.cloud.client(spec.project).alarm.update(spec.alarm_id, {"name": name})
            ended = epoch()
        except Exception:  # noqa: BLE001 - whatever a client library raises for an API without a database
            self.refused += 1
        self._play.stage.history.add(Edit(began, ended, spec.alarm_id, {"name": name}))

    def finish(self) -> None:
        """End after the current request."""
        self._over.set()
        self.join(120)


class _Trial:
    """One mode: its load, its disruptions, and what was measured."""

    def __init__(self, play: Play, cluster: Galera, front: Front, mode: str, seed: int) -> None:
        self._play = play
        self._cluster = cluster
        self._front = front
        self._mode = mode
        self._seed = seed
        self._turns = itertools.cycle(NODES)
        self._done: list[Disrupted] = []
        self._refused = 0
        self._conflicts: dict[str, int] = {}

    def run(self, names: Sequence[str], away: float) -> None:
        """Disrupt as *names* say, one after the other, while events are fired."""
        stage = self._play.stage
        alarms = self._play.alarms("healthy", 50)
        stage.cloud.start_api()
        for listener in stage.listeners:
            listener.start(wait=True)
        before = self._counted()
        with load(self._play, alarms), self._edits(alarms[:FEW]):
            for name in names:
                time.sleep(BEFORE)
                if name == CONTENTION:
                    with load(self._play, alarms[:FEW], CONTENDED_RATE):
                        self._disrupt(name, away)
                else:
                    self._disrupt(name, away)
        after = self._counted()
        self._conflicts = {name: after[name] - before[name] for name in COUNTERS}

    @contextlib.contextmanager
    def _edits(self, alarms: Sequence[AlarmSpec]) -> Iterator[None]:
        renames = Renames(self._play, alarms, self._seed)
        renames.start()
        try:
            yield
        finally:
            renames.finish()
            self._refused = renames.refused

    def _node(self) -> str:
        """Return the node that new connections are sent to first, or the next one of three writers."""
        if self._mode == MULTI:
            return next(self._turns)
        states = self._front.haproxy.states()
        return next(node for node in NODES if states[node] == UP)

    def _disrupt(self, name: str, away: float) -> None:
        node, kind = self._node(), DISRUPTORS[name]
        self._play.progress.say(f"{self._mode}: node {node}: {name}")
        began, found = epoch(), None
        with kind.disrupt(self._cluster, node):
            if kind.takes_down:
                self._front.haproxy.wait_for(SETTLE, **{node: "DOWN"})
                found = epoch()
            time.sleep(max(0.0, began + away - epoch()))
        wait(self._is_whole, 2 * SETTLE, self._play.progress, lambda: "the nodes are synced", pause=0.2)
        strike = Strike(began, epoch(), f"{name}, {self._mode}", ends_process=False, survivable=True)
        self._play.stage.history.add(strike)
        self._done.append(Disrupted(name, strike, found))
        # An edit from now on does not apply to what is committed by now.
        self._play.stage.committed(list(self._play.published))

    def _is_whole(self) -> bool:
        return self._cluster.is_whole() and set(self._front.haproxy.states().values()) == {UP}

    def _counted(self) -> Mapping[str, int]:
        found: dict[str, int] = defaultdict(int)
        for node in NODES:
            with self._cluster.session(node) as cursor:
                for name in COUNTERS:
                    cursor.execute(f"SHOW STATUS LIKE '{name}'")
                    found[name] += int(cursor.fetchone()[1])
        return found

    def finding(self) -> Finding:
        """Wait until all work is done, and return the figures and what is wrong."""
        # The queue of an outage is long on a slow machine.
        self._play.arrived(set(self._play.published), 4 * SETTLE)
        self._play.idle("the queue")
        verdict = self._play.verdict(f"galera, {self._mode}")
        figures = {
            **verdict.counts,
            "edits": float(len(self._play.stage.history.of(Edit))),
            "edits refused by the API": float(self._refused),
            **{name.removeprefix("wsrep_local_"): float(value) for name, value in self._conflicts.items()},
            **self._pauses(sorted(self._play.accepted().values())),
        }
        rows = self._play.rows(verdict)
        return Finding(f"galera, {self._mode}", figures, verdict.problems, rows)

    def _pauses(self, accepted: Sequence[float]) -> dict[str, float]:
        figures: dict[str, float] = {}
        for name in dict.fromkeys(one.name for one in self._done):
            times = [one for one in self._done if one.name == name]
            found = [one.found - one.strike.began for one in times if one.found is not None]
            pauses = [recovery(one.strike, accepted) or 0.0 for one in times]
            for what, values in (("found down by HAProxy", found), ("pause between webhooks", pauses)):
                if values:
                    figures[f"{name}: {what}, median (s)"] = statistics.median(values)
                    figures[f"{name}: {what}, worst (s)"] = max(values)
        return figures
