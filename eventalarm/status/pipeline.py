"""The check that Ceilometer's pipeline feeds the topic: the file on this host, and what listeners heard."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Sequence
from typing import Final

from eventalarm.status.agent import Flow, Refused, Target, load
from eventalarm.status.outcome import Finding, Level

SCHEME: Final = "eventalarm"
REFUSED: Final = (
    "correct the file; the agent publishes nothing, or runs on with the pipeline of its last start"
)
MISTAKE: Final = "that Ceilometer's pipeline does not feed the topic is the most common deployment mistake"
LOOK: Final = (
    "on the hosts that run ceilometer-agent-notification: is '- eventalarm://' among the publishers of a "
    "sink in event_pipeline.yaml, is eventalarm installed in the Python environment of that agent, and was "
    "the agent restarted? Its log then says 'Publishing events to'"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Feed:
    """What Ceilometer's files say: event patterns that reach the topic, or the ``problem`` why none do.

    ``remedy`` is for the problem, where it is another than to add the line.
    """

    path: str
    patterns: tuple[str, ...] = ()
    problem: str = ""
    remedy: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class LastSeen:
    """What listeners know: whether any is alive, and when the last event came."""

    alive: bool
    last_event_at: datetime.datetime | None
    now: datetime.datetime


def read(path: pathlib.Path, target: Target) -> Feed:
    """Return whether the file *path* leads events to *target*, as Ceilometer itself reads it.

    :raises UnreadablePipeline: when it cannot be read or is no pipeline.
    """
    try:
        flows = load(path)
    except Refused as exc:
        return Feed(str(path), problem=f"Ceilometer refuses it: {exc}", remedy=REFUSED)
    return judge(str(path), flows, target)


def judge(path: str, flows: Sequence[Flow], target: Target) -> Feed:
    """Decide whether *flows* lead events to an ``eventalarm://`` publisher of *target*."""
    ours = [(flow, url) for flow in flows for url in flow.publishers if url.partition(":")[0] == SCHEME]
    if not ours:
        return Feed(path, problem="no source leads to a sink that has an eventalarm:// publisher")
    troubles = {url: target.trouble(url) for _, url in ours}
    patterns = [p for flow, url in ours if troubles[url] is None for p in flow.patterns]
    if not patterns:
        problem, remedy = next(found for found in troubles.values() if found is not None)
        return Feed(path, problem=problem, remedy=remedy)
    return Feed(path, tuple(dict.fromkeys(patterns)))


def look(feed: Feed | None, heard: LastSeen | None, longest_silence: float) -> Finding:
    """Judge by the file of this host (None: there is none) and by what listeners heard (None: cannot ask).

    *longest_silence* in seconds is how long a cloud may be quiet.
    """
    told, silence = _told(heard)
    figures = {} if silence is None else {"seconds_since_last_event": round(silence, 1)}
    if feed is not None and feed.problem:
        level = Level.FAILED if silence is None or silence > longest_silence else Level.WARNING
        remedy = feed.remedy or (
            f"add '- eventalarm://' to the publishers of its sink and restart the agent ({MISTAKE})"
        )
        return Finding(level, f"{feed.path} does not feed the topic: {feed.problem}; {told}", remedy, figures)
    if feed is not None:
        told = f"{feed.path} feeds the topic with {', '.join(feed.patterns[:5])}; {told}"
    if silence is not None and silence <= longest_silence:
        return Finding(Level.OK, told, figures=figures)
    return Finding(Level.WARNING, f"{told}: {MISTAKE}", LOOK, figures)


def _told(heard: LastSeen | None) -> tuple[str, float | None]:
    if heard is None:
        return "listeners cannot be asked whether events arrive", None
    if not heard.alive:
        return "no listener is alive that could tell whether events arrive", None
    if heard.last_event_at is None:
        return "no event has come from Ceilometer since the listeners were started", None
    silence = max(0.0, (heard.now - heard.last_event_at).total_seconds())
    return f"the last event came {silence:.0f} s ago", silence
