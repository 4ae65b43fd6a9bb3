"""The command line filters of eventalarm-delivery."""

from __future__ import annotations

import argparse
import datetime

import pytest

from eventalarm.cmd import filters
from eventalarm.model import UTC

NOW = datetime.datetime(2026, 5, 1, 12, tzinfo=UTC)
STATES = ["failed", "delivered"]


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    filters.add_filters(parser, STATES)
    return parser.parse_args(words)


AGES = [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("3d", 259200), (" 1w ", 604800)]


@pytest.mark.parametrize(("text", "seconds"), AGES)
def test_ages(text: str, seconds: int) -> None:
    assert filters.age(text) == datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5h", "1y", "9999999999", "99999999w"])
def test_an_invalid_age_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        filters.age(text)


def test_without_a_filter_failed_deliveries_are_selected() -> None:
    args = parse()
    assert not filters.is_filtered(args)
    chosen = filters.selection(args, NOW, STATES)
    assert chosen.states == ("failed",)
    assert (chosen.since, chosen.until, chosen.goes_to) == (None, None, None)


def test_every_filter_counts() -> None:
    for words in (
        ["--project", "p"],
        ["--alarm", "a"],
        ["--destination", "h"],
        ["--older-than", "0"],
        ["--newer-than", "1d"],
        ["--state", "failed"],
        ["--state", "all"],
    ):
        assert filters.is_filtered(parse(*words)), words
    every = "--state all --project p --alarm a --destination H:80 --older-than 1h --newer-than 1d"
    chosen = filters.selection(parse(*every.split()), NOW, STATES)
    assert (chosen.states, chosen.project_id, chosen.alarm_id) == (("failed", "delivered"), "p", "a")
    assert chosen.until == NOW - datetime.timedelta(hours=1)
    assert chosen.since == NOW - datetime.timedelta(days=1)
    assert chosen.hint == "h"
    assert chosen.goes_to("http://h/")
    assert not chosen.goes_to("https://h/")


def test_a_destination_without_host_is_refused() -> None:
    with pytest.raises(filters.Unusable, match="names no host"):
        filters.selection(parse("--destination", "/hook"), NOW, STATES)
