"""The check that Ceilometer's pipeline feeds the topic, by its files and by the last event received.

Ceilometer's own code reads the files: what its agent publishes, and to which broker.
"""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import socket
from collections.abc import Sequence
from typing import Any, Final

from oslo_config import cfg
from oslo_utils import netutils

from eventalarm import bus
from eventalarm.broker import DEFAULT_PORT, hosts
from eventalarm.exceptions import InvalidOption
from eventalarm.publisher import options as publisher_options
from eventalarm.publisher.partitions import OWNER_TRAITS
from eventalarm.status.ceilometer_files import Flow, Refused, configuration, load_flows
from eventalarm.status.checks import Finding, Level

# Options of the driver that become arguments of the queue.
QUEUE_OPTIONS: Final = (
    "rabbit_quorum_queue",
    "rabbit_quorum_delivery_limit",
    "rabbit_quorum_max_memory_length",
    "rabbit_quorum_max_memory_bytes",
    "rabbit_ha_queues",
    "amqp_durable_queues",
    "amqp_auto_delete",
)

# A problem and its remedy.
Problem = tuple[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """The topic and the transport from which listeners consume events.

    :param ours: the configuration of the listeners; None if brokers are not compared.
    :param theirs: Ceilometer's configuration; None where it is unknown.
    """

    topic: str
    ours: cfg.ConfigOpts | None = None
    theirs: cfg.ConfigOpts | None = None
    partitions: int = 1
    owner_traits: Sequence[str] = OWNER_TRAITS

    def problem_of(self, url: str) -> Problem | None:
        """Return why events of an ``eventalarm://`` line do not reach the listeners, or None if they do."""
        try:
            chosen = publisher_options.parse(netutils.urlsplit(url))
            if chosen.topic != self.topic:
                return (
                    f"it publishes to topic {chosen.topic}, the listeners consume {self.topic}",
                    "use the same topic in the line and in [eventalarm] topic",
                )
            if chosen.partitions != self.partitions:
                return (
                    f"its number of partitions is {chosen.partitions}, the listeners have {self.partitions}",
                    f"write eventalarm://...?partitions={self.partitions} and restart the agent",
                )
            ours, theirs = ",".join(self.owner_traits), ",".join(chosen.owner_traits)
            if self.partitions > 1 and ours != theirs:
                return (
                    f"it divides events by the owner traits {theirs}, the listeners by {ours}",
                    f"add owner_traits={ours} to the eventalarm:// line and restart the agent",
                )
            return self._compared(chosen)
        except (InvalidOption, ValueError) as exc:
            return f"its eventalarm:// line is invalid: {exc}", "correct the line and restart the agent"

    def _compared(self, chosen: publisher_options.PublisherOptions) -> Problem | None:
        if self.ours is None or (chosen.url is None and self.theirs is None):
            return None
        known = self.theirs or configuration(pathlib.Path("/nonexistent"))
        theirs = bus.get_transport(
            known, chosen.url, options=chosen.driver_options, accept_loss=chosen.accept_event_loss
        )._driver
        ours = bus.get_transport(self.ours)._driver
        where, here = bus.describe(known, chosen.url), bus.describe(self.ours)
        if not _same_broker(theirs, ours):
            host = here.partition("://")[2]
            return (
                f"the agent publishes to {where}, the listeners consume from {here}",
                f"write eventalarm://USER:PASSWORD@{host}, as in transport_url of aodh.conf, and restart "
                "the agent",
            )
        differing = [] if self.theirs is None else _differing(theirs, ours)
        if differing:
            return (
                f"the agent and the listeners declare the queue differently: {', '.join(differing)}",
                "give ceilometer.conf and aodh.conf the same [oslo_messaging_rabbit] options, or add them "
                "to the query of both URLs",
            )
        return None


def _same_broker(theirs: Any, ours: Any) -> bool:
    drivers = {bus.driver_name(driver._url) for driver in (theirs, ours)}
    if not drivers <= bus.RABBIT_DRIVERS:
        return len(drivers) == 1
    vhosts = {driver._url.virtual_host or "/" for driver in (theirs, ours)}
    return len(vhosts) == 1 and not _addresses(theirs._url).isdisjoint(_addresses(ours._url))


def _addresses(url: Any) -> set[tuple[str, int]]:
    """Return every name and address in *url*: one name of several is enough to be the same broker."""
    found = set()
    for host in hosts(url):
        port = host.port or DEFAULT_PORT
        found.add((host.hostname.lower(), port))
        try:
            found.update(
                (str(info[4][0]), port)
                for info in socket.getaddrinfo(host.hostname, port, type=socket.SOCK_STREAM)
            )
        except OSError:
            continue
    return found


def _differing(theirs: Any, ours: Any) -> list[str]:
    if bus.driver_name(ours._url) not in bus.RABBIT_DRIVERS:
        return []
    pairs = {
        name: (theirs.conf.oslo_messaging_rabbit[name], ours.conf.oslo_messaging_rabbit[name])
        for name in QUEUE_OPTIONS
    }
    return [
        f"{name} is {str(there).lower()} in the agent and {str(here).lower()} in the listeners"
        for name, (there, here) in pairs.items()
        if there != here
    ]


SCHEME: Final = "eventalarm"
REFUSED: Final = (
    "correct the file: until then the agent publishes nothing, or keeps the pipeline of its last start"
)
MISTAKE: Final = "a pipeline that does not feed the topic is the most common deployment mistake"
PUBLISHER_REMEDY: Final = (
    "on the hosts that run ceilometer-agent-notification: is '- eventalarm://' among the publishers of a "
    "sink in event_pipeline.yaml, is eventalarm installed in the Python environment of that agent, and was "
    "the agent restarted? Its log then says 'Publishing events to'"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Feed:
    """Which event patterns reach the topic by Ceilometer's files, or the ``problem`` if none do.

    ``remedy`` is empty where the remedy is to add the publisher.
    """

    path: str
    patterns: tuple[str, ...] = ()
    problem: str = ""
    remedy: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class LastSeen:
    """Whether any listener is running, and when one of them last received an event."""

    running: bool
    last_event_at: datetime.datetime | None
    now: datetime.datetime


def read(path: pathlib.Path, target: Target) -> Feed:
    """Return which events of the file *path*, as Ceilometer's code reads it, reach *target*.

    :raises UnreadablePipeline: when it cannot be read or is not a pipeline.
    """
    try:
        flows = load_flows(path)
    except Refused as exc:
        return Feed(str(path), problem=f"Ceilometer refuses it: {exc}", remedy=REFUSED)
    return feed_of(str(path), flows, target)


def feed_of(path: str, flows: Sequence[Flow], target: Target) -> Feed:
    """Return which events of *flows* reach *target* by an ``eventalarm://`` publisher."""
    ours = [(flow, url) for flow in flows for url in flow.publishers if url.partition(":")[0] == SCHEME]
    if not ours:
        return Feed(path, problem="no source leads to a sink that has an eventalarm:// publisher")
    problems = {url: target.problem_of(url) for _, url in ours}
    patterns = [p for flow, url in ours if problems[url] is None for p in flow.patterns]
    if not patterns:
        problem, remedy = next(found for found in problems.values() if found is not None)
        return Feed(path, problem=problem, remedy=remedy)
    return Feed(path, tuple(dict.fromkeys(patterns)))


def pipeline_finding(feed: Feed | None, seen: LastSeen | None, longest_silence: float) -> Finding:
    """Return the finding on the pipeline file and on the last event that listeners received.

    *feed* is None if this host has no file; *seen* is None if the database cannot be read; *longest_silence*
    is how many seconds may pass without an event.
    """
    text, silence = _described(seen)
    figures = {} if silence is None else {"seconds_since_last_event": round(silence, 1)}
    if feed is not None and feed.problem:
        level = Level.FAILED if silence is None or silence > longest_silence else Level.WARNING
        remedy = feed.remedy or (
            f"add '- eventalarm://' to the publishers of its sink and restart the agent ({MISTAKE})"
        )
        return Finding(level, f"{feed.path} does not feed the topic: {feed.problem}; {text}", remedy, figures)
    if feed is not None:
        text = f"{feed.path} feeds the topic with {', '.join(feed.patterns[:5])}; {text}"
    if silence is not None and silence <= longest_silence:
        return Finding(Level.OK, text, figures=figures)
    return Finding(Level.WARNING, f"{text}: {MISTAKE}", PUBLISHER_REMEDY, figures)


def _described(seen: LastSeen | None) -> tuple[str, float | None]:
    if seen is None:
        return "the database cannot be read to find out whether events arrive", None
    if not seen.running:
        return "no listener is running that could receive events", None
    if seen.last_event_at is None:
        return "no event was received from Ceilometer since the listeners were started", None
    silence = max(0.0, (seen.now - seen.last_event_at).total_seconds())
    return f"the last event was received {silence:.0f} s ago", silence
