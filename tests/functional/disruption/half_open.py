"""A listener on a host whose connections become half-open: packets vanish, one way or both.

To the broker, the database and a webhook; nothing is reset or refused, which a relay between the ends cannot
do: its kernel acknowledges everything.
"""

from __future__ import annotations

import contextlib
import pathlib
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from eventalarm.trial.history.records import Strike
from eventalarm.trial.own_cloud.load.workload import AlarmSpec
from eventalarm.trial.own_cloud.play import Finding, Play
from eventalarm.trial.own_cloud.programs.listeners import Listener
from eventalarm.trial.own_cloud.progress import Progress
from eventalarm.trial.own_cloud.proxy import BACK, BOTH, THERE
from eventalarm.trial.own_cloud.stage import Ground, epoch
from tests.functional.disruption.cluster import LEAD, load
from tests.support.helpers import write_config
from tests.support.netns import OUTSIDE, Network
from tests.support.relay import Relay

FAR: Final = "far"
BROKER, DATABASE, WEBHOOK = "broker", "database", "webhook"
HEALTHY: Final = "healthy"


@dataclass(frozen=True)
class Cut:
    """What the far listener loses: the connections to a *part*, one *way* or both, for so many seconds."""

    part: str
    way: str
    seconds: float = 60.0

    @property
    def name(self) -> str:
        """The name in the report."""
        ways = {BOTH: "both ways", THERE: "to it", BACK: "from it"}
        return f"half-open, {self.part}, {ways[self.way]}"


CUTS: Final = tuple(Cut(part, way) for part in (BROKER, DATABASE, WEBHOOK) for way in (BOTH, THERE, BACK))


def half_open(
    ground: Ground,
    directory: pathlib.Path,
    progress: Progress,
    *,
    cuts: Sequence[Cut] = CUTS,
    broker: str = "",
    options: Mapping[str, float] | None = None,
    seed: int = 1,
) -> Finding:
    """Make each of *cuts* under load, while a second listener keeps its connections.

    What the far listener had in hand must be done by the other one, or by itself when the packets arrive
    again. Nothing may be lost or fire twice.

    :param broker: options of the transport URL, which begin with ``&``.
    :param options: options of delivery.
    :raises RuntimeError: if this user may not create network namespaces.
    """
    with contextlib.ExitStack() as stack:
        network = Network(FAR)
        stack.callback(network.close)
        delivery = dict(options or {})
        play = Play(ground, directory, [HEALTHY], progress, seed, listeners=1, broker=broker, **delivery)
        stack.callback(play.close)
        ports = stack.enter_context(_relays(play, network))
        far = Listener(play.stage.cloud, _conf(play, network, ports, directory))
        far.start(wait=True, prefix=network.hosts[FAR].prefix)
        play.stage.listeners[0].start(wait=True)
        alarms = play.alarms(HEALTHY, 50)
        for cut in cuts:
            progress.say(cut.name)
            _make(cut, network, ports, play, alarms)
        play.idle("the queue")
        verdict = play.verdict("half-open")
        name = f"half-open on {play.stage.cloud.database.dialect}"
        return Finding(name, verdict.counts, verdict.problems, play.rows(verdict))


@contextlib.contextmanager
def _relays(play: Play, network: Network) -> Iterator[dict[str, int]]:
    """Yield the ports on which the far host reaches each part, which listens on the loopback address only."""
    stage = play.stage
    targets = {
        BROKER: stage.ground.rabbitmq.info["port"],
        DATABASE: stage.ground.database.info["port"],
        WEBHOOK: urllib.parse.urlsplit(stage.actions[HEALTHY]).port or 0,
    }
    here = network.hosts[OUTSIDE].address
    with contextlib.ExitStack() as stack:
        relays = {part: Relay(port, here) for part, port in targets.items()}
        for relay in relays.values():
            stack.callback(relay.close)
        ports = {part: relay.port for part, relay in relays.items()}
        # Both listeners must be able to call it.
        action = urllib.parse.urlsplit(stage.actions[HEALTHY])
        stage.actions[HEALTHY] = action._replace(netloc=f"{here}:{ports[WEBHOOK]}").geturl()
        yield ports


def _conf(play: Play, network: Network, ports: Mapping[str, int], directory: pathlib.Path) -> pathlib.Path:
    """Return the configuration file of the far listener."""
    here, stage = network.hosts[OUTSIDE].address, play.stage
    urls = {BROKER: stage.transport_url, DATABASE: stage.cloud.database_url}
    for part, service in ((BROKER, stage.ground.rabbitmq), (DATABASE, stage.ground.database)):
        known = f"127.0.0.1:{service.info['port']}/"
        urls[part] = urls[part].replace(known, f"{here}:{ports[part]}/")
    sections = {"DEFAULT": {"transport_url": urls[BROKER]}, "database": {"connection": urls[DATABASE]}}
    return write_config(directory / "far.conf", sections)


def _make(
    cut: Cut, network: Network, ports: Mapping[str, int], play: Play, alarms: Sequence[AlarmSpec]
) -> None:
    """Make a cut under load, and record it once everything has fired."""
    before = set(play.published)
    with load(play, alarms):
        time.sleep(LEAD)
        began = epoch()
        if cut.way in (BOTH, THERE):
            network.drop(FAR, OUTSIDE, to_port=ports[cut.part])
        if cut.way in (BOTH, BACK):
            network.drop(OUTSIDE, FAR, from_port=ports[cut.part])
        time.sleep(cut.seconds)
        network.heal()
        ended = epoch()
    play.latencies(set(play.published))
    accepted = play.accepted()
    waited = [
        accepted[one] - max(began, published)
        for one, published in play.published.items()
        if one not in before and one in accepted
    ]
    # A result may be lost with the connections to the database and to the webhook.
    strike = Strike(began, ended, cut.name, cut.part != BROKER, survivable=True, taken_over=max(waited))
    play.stage.history.add(strike)
