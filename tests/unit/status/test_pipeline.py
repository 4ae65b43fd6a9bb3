"""Does Ceilometer's pipeline feed the topic: what the file says, and what listeners heard."""

from __future__ import annotations

import datetime
import pathlib

import pytest

from eventalarm.model import UTC
from eventalarm.status import pipeline
from eventalarm.status.outcome import Level
from eventalarm.status.pipeline import Feed, Heard

NOW = datetime.datetime(2026, 5, 1, 12, tzinfo=UTC)
ROOT = pathlib.Path(__file__).parents[3]
SOURCE = "sources: [{name: s, events: ['*'], sinks: [out]}]\n"
SINK = "sinks: [{name: out, publishers: [%s]}]\n"


def test_our_own_example_feeds_the_topic() -> None:
    feed = pipeline.read(ROOT / "etc/eventalarm/event_pipeline.yaml", "event_eval")
    assert (feed.problem, feed.patterns) == ("", ("*",))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (SOURCE + SINK % "'notifier://'", "no sink has an eventalarm:// publisher"),
        (SOURCE + SINK % "", "no sink has"),
        (
            SOURCE + SINK % "'eventalarm://?topic=other'",
            "publishes to topic other, the listeners take event_eval",
        ),
        (SOURCE + SINK % "'eventalarm://?max_retry=x'", "cannot work: max_retry"),
        (SOURCE.replace("[out]", "[gone]") + SINK % "'eventalarm://'", "no source leads to the sink out"),
        (SOURCE.replace("['*']", "[]") + SINK % "'eventalarm://'", "no source leads to the sink out"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: pathlib.Path, text: str, problem: str) -> None:
    path = tmp_path / "event_pipeline.yaml"
    path.write_text(text)
    assert problem in pipeline.read(path, "event_eval").problem


@pytest.mark.parametrize("text", ["", "[]", "sinks: 3", "{", "sinks: [{}]\nsources: []", "\x00"])
def test_what_is_no_pipeline_is_said_to_be_none(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "event_pipeline.yaml"
    path.write_text(text)
    with pytest.raises(pipeline.UnreadablePipeline, match=r"event_pipeline\.yaml"):
        pipeline.read(path, "event_eval")


FED, STARVED = Feed("f", ("*",)), Feed("f", problem="no sink has it")
RECENT, SILENT = Heard(True, NOW - datetime.timedelta(seconds=5), NOW), Heard(True, None, NOW)
LONG_AGO = Heard(True, NOW - datetime.timedelta(days=3), NOW)
NOBODY = Heard(False, None, NOW)


@pytest.mark.parametrize(
    ("feed", "heard", "level", "words"),
    [
        (None, RECENT, Level.OK, "the last event came 5 s ago"),
        (FED, RECENT, Level.OK, "f feeds the topic with *; the last event came 5 s ago"),
        (STARVED, RECENT, Level.WARNING, "f does not feed the topic: no sink has it"),
        (STARVED, SILENT, Level.FAILED, "does not feed the topic"),
        (STARVED, None, Level.FAILED, "cannot be asked"),
        (None, SILENT, Level.WARNING, "the most common deployment mistake"),
        (FED, SILENT, Level.WARNING, "no event has come from Ceilometer"),
        (None, LONG_AGO, Level.WARNING, "259200 s ago"),
        (None, NOBODY, Level.WARNING, "no listener is alive"),
    ],
)
def test_the_verdict(feed: Feed | None, heard: Heard | None, level: Level, words: str) -> None:
    finding = pipeline.look(feed, heard, 86400.0)
    assert finding.level is level
    assert words in finding.message
    assert bool(finding.remedy) is (level is not Level.OK)
