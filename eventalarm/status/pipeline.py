"""The check that Ceilometer's pipeline feeds the topic: its file, and the last event received."""

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
    "correct the file: until then the agent publishes nothing, or keeps the pipeline of its last start"
)
MISTAKE: Final = "that Ceilometer's pipeline does not feed the topic is the most common deployment mistake"
LOOK: Final = (
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
    """Return whether the file *path*, read by Ceilometer's code, leads events to *target*.

    :raises UnreadablePipeline: when it cannot be read or is not a pipeline.
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


def look(feed: Feed | None, seen: LastSeen | None, longest_silence: float) -> Finding:
    """Judge the file on this host (None: no file) and the last event that listeners received.

    *seen* is None if the database cannot be read; *longest_silence* is how many seconds may pass without an
    event.
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
    return Finding(Level.WARNING, f"{text}: {MISTAKE}", LOOK, figures)


def _described(seen: LastSeen | None) -> tuple[str, float | None]:
    if seen is None:
        return "the database cannot be read to find out whether events arrive", None
    if not seen.running:
        return "no listener is running that could receive events", None
    if seen.last_event_at is None:
        return "no event has come from Ceilometer since the listeners were started", None
    silence = max(0.0, (seen.now - seen.last_event_at).total_seconds())
    return f"the last event came {silence:.0f} s ago", silence
