"""The check that Ceilometer's pipeline feeds the topic: the file on this host, and what listeners heard."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import urllib.parse
from typing import Any, Final

import yaml

from eventalarm.exceptions import EventAlarmError, InvalidOption
from eventalarm.publisher import options as publisher_options
from eventalarm.status.outcome import Finding, Level

SCHEME: Final = "eventalarm"
USUAL_PLACE: Final = "/etc/ceilometer/event_pipeline.yaml"
MISTAKE: Final = "that Ceilometer's pipeline does not feed the topic is the most common deployment mistake"
LOOK: Final = (
    "on the hosts that run ceilometer-agent-notification: is '- eventalarm://' among the publishers of a "
    "sink in event_pipeline.yaml, is eventalarm installed in the Python environment of that agent, and was "
    "the agent restarted? Its log then says 'Publishing events to'"
)


class UnreadablePipeline(EventAlarmError):
    """The pipeline file cannot be read or is none."""


@dataclasses.dataclass(frozen=True, slots=True)
class Feed:
    """What a pipeline file says: event patterns that reach the topic, or the ``problem`` why none do."""

    path: str
    patterns: tuple[str, ...] = ()
    problem: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Heard:
    """What listeners know: whether any is alive, and when the last event came."""

    alive: bool
    last_event_at: datetime.datetime | None
    now: datetime.datetime


def read(path: pathlib.Path, topic: str) -> Feed:
    """Return whether the file *path* leads events to *topic*.

    :raises UnreadablePipeline: when it cannot be read or is no pipeline.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        sinks = {sink["name"]: _publishers(sink) for sink in content["sinks"]}
        sources = [
            (tuple(map(str, source["events"] or ())), list(source["sinks"])) for source in content["sources"]
        ]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError, AttributeError) as exc:
        raise UnreadablePipeline(f"{path}: {type(exc).__name__}: {' '.join(str(exc).split())[:200]}") from exc
    return judge(str(path), sources, sinks, topic)


def _publishers(sink: dict[str, Any]) -> list[str]:
    return [url for url in sink["publishers"] or () if str(url).partition(":")[0] == SCHEME]


def judge(
    path: str, sources: list[tuple[tuple[str, ...], list[str]]], sinks: dict[str, list[str]], topic: str
) -> Feed:
    """Decide whether *sources* (patterns, sinks) lead events to an ``eventalarm://`` publisher of *topic*."""
    if not any(sinks.values()):
        return Feed(path, problem="no sink has an eventalarm:// publisher")
    problems = [problem for urls in sinks.values() for url in urls if (problem := _trouble(url, topic))]
    good = {name for name, urls in sinks.items() if any(not _trouble(url, topic) for url in urls)}
    if not good:
        return Feed(path, problem=problems[0])
    patterns = [p for events, names in sources if good.intersection(names) for p in events]
    if not patterns:
        return Feed(
            path, problem=f"no source leads to the sink {', '.join(sorted(good))} that has eventalarm://"
        )
    return Feed(path, tuple(dict.fromkeys(patterns)))


def _trouble(url: str, topic: str) -> str:
    try:
        found = publisher_options.parse(urllib.parse.urlsplit(url)).topic
    except (InvalidOption, ValueError) as exc:
        return f"its eventalarm:// line cannot work: {exc}"
    return "" if found == topic else f"it publishes to topic {found}, the listeners take {topic}"


def look(feed: Feed | None, heard: Heard | None, longest_silence: float) -> Finding:
    """Judge by the file of this host (None: there is none) and by what listeners heard (None: cannot ask).

    *longest_silence* in seconds is how long a cloud may be quiet.
    """
    told, silence = _told(heard)
    figures = {} if silence is None else {"seconds_since_last_event": round(silence, 1)}
    if feed is not None and feed.problem:
        level = Level.FAILED if silence is None or silence > longest_silence else Level.WARNING
        remedy = f"add '- eventalarm://' to the publishers of its sink and restart the agent ({MISTAKE})"
        return Finding(level, f"{feed.path} does not feed the topic: {feed.problem}; {told}", remedy, figures)
    if feed is not None:
        told = f"{feed.path} feeds the topic with {', '.join(feed.patterns[:5])}; {told}"
    if silence is not None and silence <= longest_silence:
        return Finding(Level.OK, told, figures=figures)
    return Finding(Level.WARNING, f"{told}: {MISTAKE}", LOOK, figures)


def _told(heard: Heard | None) -> tuple[str, float | None]:
    if heard is None:
        return "listeners cannot be asked whether events arrive", None
    if not heard.alive:
        return "no listener is alive that could tell whether events arrive", None
    if heard.last_event_at is None:
        return "no event has come from Ceilometer since the listeners were started", None
    silence = max(0.0, (heard.now - heard.last_event_at).total_seconds())
    return f"the last event came {silence:.0f} s ago", silence
