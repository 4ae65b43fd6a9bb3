"""Does Ceilometer's pipeline feed the topic: what the file says, and what listeners heard."""

from __future__ import annotations

import datetime
import pathlib

import pytest
from oslo_config import cfg

from eventalarm.model import UTC
from eventalarm.status import ceilometer_files, pipeline
from eventalarm.status.checks import Level
from eventalarm.status.pipeline import Feed, LastSeen, Target

NOW = datetime.datetime(2026, 5, 1, 12, tzinfo=UTC)
ROOT = pathlib.Path(__file__).parents[3]
SOURCE = "sources: [{name: s, events: ['*'], sinks: [out]}]\n"
SINK = "sinks: [{name: out, publishers: [%s]}]\n"


TARGET = Target("event_eval")


def pipeline_at(tmp_path: pathlib.Path, text: str) -> pathlib.Path:
    path = tmp_path / "event_pipeline.yaml"
    path.write_text(text)
    return path


def test_our_example_feeds_the_topic() -> None:
    feed = pipeline.read(ROOT / "eventalarm/etc/event_pipeline.yaml", TARGET)
    assert (feed.problem, feed.patterns) == ("", ("*",))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (SOURCE + SINK % "'notifier://'", "no source leads to a sink that has an eventalarm:// publisher"),
        (SOURCE + SINK % "", "Ceilometer refuses it: No publisher specified"),
        (
            SOURCE + SINK % "'eventalarm://?topic=other'",
            "publishes to topic other, the listeners consume event_eval",
        ),
        (SOURCE + SINK % "'eventalarm://?max_retry=x'", "line is invalid: max_retry"),
        (SOURCE.replace("[out]", "[gone]") + SINK % "'eventalarm://'", "Dangling sink gone"),
        (SOURCE.replace("['*']", "[]") + SINK % "'eventalarm://'", "No events specified"),
        (
            SOURCE.replace("['*']", "['compute.*', '!compute.instance.exists']") + SINK % "'eventalarm://'",
            "Ceilometer refuses it: Both included and excluded events specified",
        ),
        (
            SOURCE.replace("['*']", "['*', 'compute.*']") + SINK % "'eventalarm://'",
            "Ceilometer refuses it: Included events specified with wildcard",
        ),
        ("sources: []\nsinks: []\n", "no source leads to a sink"),
    ],
)
def test_an_invalid_option_is_named(tmp_path: pathlib.Path, text: str, problem: str) -> None:
    assert problem in pipeline.read(pipeline_at(tmp_path, text), TARGET).problem


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("partitions=4", ""),
        ("topic=event_eval", "its number of partitions is 1, the listeners have 4"),
        ("partitions=4&owner_traits=tenant", "by the owner traits tenant, the listeners by project_id,"),
    ],
)
def test_events_are_divided_as_the_listeners_expect(tmp_path: pathlib.Path, line: str, problem: str) -> None:
    path = pipeline_at(tmp_path, SOURCE + SINK % f"'eventalarm://?{line}'")
    found = pipeline.read(path, Target("event_eval", partitions=4)).problem
    assert problem in found
    assert bool(problem) == bool(found)


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        (SOURCE + SINK % "test, eventalarm", ("*",)),
        (SOURCE.replace("['*']", "['*', '!*.exists']") + SINK % "eventalarm", ("*", "!*.exists")),
        (SOURCE + SINK % "'panko://', 'eventalarm://?policy=queue'", ("*",)),
        (
            "sources: [{name: a, events: ['*'], sinks: [x, y]}, {name: b, events: ['!z'], sinks: [y]}]\n"
            "sinks: [{name: x, transformers: , publishers: [udp]}, {name: y, publishers: [eventalarm]}]",
            ("*", "!z"),
        ),
    ],
)
def test_pipelines_that_ceilometer_accepts_are_accepted(
    tmp_path: pathlib.Path, text: str, patterns: tuple[str, ...]
) -> None:
    feed = pipeline.read(pipeline_at(tmp_path, text), TARGET)
    assert (feed.problem, feed.patterns) == ("", patterns)


def broker_of(tmp_path: pathlib.Path, name: str, url: str, **rabbit: object) -> cfg.ConfigOpts:
    lines = "\n".join(f"{option} = {value}" for option, value in rabbit.items())
    path = tmp_path / name
    path.write_text(f"[DEFAULT]\ntransport_url = {url}\n[oslo_messaging_rabbit]\n{lines}\n")
    return ceilometer_files.configuration(path)


@pytest.mark.parametrize(
    ("theirs", "line", "words"),
    [
        ("rabbit://u:p@127.0.0.1:5672/aodh", "eventalarm://", ""),
        ("rabbit://u:p@localhost/aodh", "eventalarm", ""),
        ("rabbit://u:p@127.0.0.1/ceilometer", "eventalarm://u:p@localhost:5672/aodh", ""),
        (
            "rabbit://u:p@127.0.0.1/ceilometer",
            "eventalarm://",
            "publishes to rabbit://127.0.0.1/ceilometer, the listeners consume from rabbit://127.0.0.1/aodh",
        ),
        (
            "rabbit://u:p@127.0.0.1:5673/aodh",
            "eventalarm://",
            "the agent publishes to rabbit://127.0.0.1:5673",
        ),
        ("rabbit://u:p@127.0.0.1/aodh", "eventalarm://u:p@127.0.0.1/x", "publishes to rabbit://127.0.0.1/x"),
        (
            "rabbit://u:p@127.0.0.1/aodh",
            "eventalarm://?rabbit_quorum_queue=true",
            "rabbit_quorum_queue is true in the agent and false in the listeners",
        ),
    ],
)
def test_the_agent_must_publish_where_listeners_listen(
    tmp_path: pathlib.Path, theirs: str, line: str, words: str
) -> None:
    """Ceilometer and Aodh often have virtual hosts of their own."""
    ours = broker_of(tmp_path, "aodh.conf", "rabbit://u:secret@127.0.0.1/aodh")
    target = Target("event_eval", ours, broker_of(tmp_path, "ceilometer.conf", theirs))
    feed = pipeline.read(pipeline_at(tmp_path, SOURCE + SINK % f"'{line}'"), target)
    assert words in feed.problem
    assert bool(feed.problem) is bool(words)
    assert "secret" not in feed.problem + feed.remedy
    if "listeners consume from" in words:
        assert "write eventalarm://USER:PASSWORD@127.0.0.1/aodh" in feed.remedy


def test_queue_options_of_the_two_files_are_compared(tmp_path: pathlib.Path) -> None:
    url = "rabbit://u:p@127.0.0.1/v"
    ours = broker_of(tmp_path, "aodh.conf", url, rabbit_quorum_queue=True)
    theirs = broker_of(
        tmp_path, "ceilometer.conf", url, rabbit_quorum_queue=True, rabbit_quorum_delivery_limit=20
    )
    feed = pipeline.read(
        pipeline_at(tmp_path, SOURCE + SINK % "eventalarm"), Target("event_eval", ours, theirs)
    )
    assert "rabbit_quorum_delivery_limit is 20 in the agent and 0 in the listeners" in feed.problem


@pytest.mark.parametrize("text", ["", "sinks: 3\nsources: 3", "{", "\x00"])
def test_an_invalid_pipeline_is_reported(tmp_path: pathlib.Path, text: str) -> None:
    with pytest.raises(ceilometer_files.UnreadablePipeline, match=r"event_pipeline\.yaml"):
        pipeline.read(pipeline_at(tmp_path, text), TARGET)


@pytest.mark.parametrize("text", ["[]", "sinks: 3", "sinks: [{}]\nsources: []"])
def test_pipelines_that_ceilometer_refuses_are_refused(tmp_path: pathlib.Path, text: str) -> None:
    assert "Ceilometer refuses it" in pipeline.read(pipeline_at(tmp_path, text), TARGET).problem


FED, STARVED = Feed("f", ("*",)), Feed("f", problem="no sink has it")
RECENT, SILENT = LastSeen(True, NOW - datetime.timedelta(seconds=5), NOW), LastSeen(True, None, NOW)
LONG_AGO = LastSeen(True, NOW - datetime.timedelta(days=3), NOW)
NOBODY = LastSeen(False, None, NOW)


@pytest.mark.parametrize(
    ("feed", "seen", "level", "words"),
    [
        (None, RECENT, Level.OK, "the last event was received 5 s ago"),
        (FED, RECENT, Level.OK, "f feeds the topic with *; the last event was received 5 s ago"),
        (STARVED, RECENT, Level.WARNING, "f does not feed the topic: no sink has it"),
        (STARVED, SILENT, Level.FAILED, "does not feed the topic"),
        (STARVED, None, Level.FAILED, "cannot be read"),
        (None, SILENT, Level.WARNING, "the most common deployment mistake"),
        (FED, SILENT, Level.WARNING, "no event was received from Ceilometer"),
        (None, LONG_AGO, Level.WARNING, "259200 s ago"),
        (None, NOBODY, Level.WARNING, "no listener is running"),
    ],
)
def test_the_verdict(feed: Feed | None, seen: LastSeen | None, level: Level, words: str) -> None:
    finding = pipeline.pipeline_finding(feed, seen, 86400.0)
    assert finding.level is level
    assert words in finding.message
    assert bool(finding.remedy) is (level is not Level.OK)
