"""Profiles as text and as a page."""

from __future__ import annotations

import itertools
import json
import xml.etree.ElementTree as ET

import pytest

from eventalarm.model import Checkpoint
from eventalarm.profile import picture, report
from eventalarm.profile.picture import Style
from tests.support.profiles import ZERO, delivery_profile

TIMES = (0, 0.010, 0.015, 0.016, 0.020, 0.021, 0.040)


@pytest.mark.parametrize(
    ("start", "end", "fine", "drawn"),
    [
        (0, 0, True, ""),
        (0, 100, True, "█" * 24),
        (50, 100, True, " " * 12 + "█" * 12),
        (0, 50, False, "#" * 12),
        (99.9, 100, True, " " * 23 + "▏"),
        (100, 100.0, False, " " * 23),
        (99.9, 100, False, " " * 23 + "#"),
    ],
)
def test_bars(start: float, end: float, fine: bool, drawn: str) -> None:
    assert picture.bar(start, end, 100, fine=fine) == drawn


def test_bars_are_contiguous_and_end_together() -> None:
    drawn = [picture.bar(a, b, 60, fine=False) for a, b in itertools.pairwise([0, 10, 20, 30, 40, 50, 60])]

    assert [text.rindex("#") + 1 for text in drawn] == [4, 8, 12, 16, 20, 24]


def test_the_table_is_sorted_by_cost_and_the_picture_by_time() -> None:
    text = picture.one_profile(delivery_profile(*TIMES), Style())

    assert text.isascii()
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[0] == "server-failed on vm-1: 40.0 ms from 'generated' to 'answered'"
    head = lines.index(next(line for line in lines if line.startswith("component")))
    rows = [line.split() for line in lines[head + 1 : head + 7]]
    assert rows[0] == ["answer", "answered", "19.0", "47.5", "%"]
    assert [row[0] for row in rows] == ["answer", "Ceilometer", "broker", "commit", "match", "send"]
    drawn = lines[head + 8 :]
    assert [line.split()[0] for line in drawn] == [
        *("Ceilometer", "broker", "match", "commit", "send", "answer"),
    ]
    assert drawn[0].split()[1] == "######"
    assert drawn[-1].endswith("40.0 ms")


def test_a_terminal_gets_colours_and_fine_bars() -> None:
    text = picture.one_profile(delivery_profile(*TIMES), Style(fine=True, colour=True))

    assert "█" in text
    assert "\x1b[36m" in text


def test_clocks_that_differ_are_named() -> None:
    text = picture.one_profile(delivery_profile(0, 0.5, 0.2, 0.3), Style())

    assert "clocks differ: 'received' (broker) is 300.0 ms before the checkpoint that precedes it" in text
    assert max(map(len, text.splitlines())) < 110


def test_several_profiles_are_summed_up_and_the_median_one_is_drawn() -> None:
    slow = delivery_profile(*(10 * at for at in TIMES), alarm_name="slow")
    fast = delivery_profile(*(at / 10 for at in TIMES), alarm_name="fast")
    text = picture.many_profiles([slow, fast, delivery_profile(*TIMES)], Style())

    assert text.startswith("3 profiles")
    assert "answer      answered      19.0   47.5 %" in text
    assert "The median one:\nserver-failed on vm-1: 40.0 ms" in text


def test_json_has_every_stage() -> None:
    found = picture.as_json(delivery_profile(*TIMES, consumer=[Checkpoint("moved", ZERO + 0.05)]))

    assert json.loads(json.dumps(found)) == found
    assert found["total_seconds"] == pytest.approx(0.05)
    assert found["started_at"] == "2026-05-01T12:00:00+00:00"
    assert [stage["origin"] for stage in found["stages"]][-2:] == ["service", "consumer"]
    assert found["delivery_id"] == "d-1"


def test_the_page_is_complete_in_itself_and_escapes_every_text() -> None:
    """Red when the name of a checkpoint, which a consumer chooses, is not escaped."""
    evil = "<script>alert(1)</script>"
    one = delivery_profile(*TIMES, consumer=[Checkpoint(evil, ZERO + 0.01)], alarm_name=evil)
    page = report.page([one, delivery_profile(*TIMES)], evil)

    assert "<script" not in page
    assert "http" not in page
    assert "clocks differ" in page
    drawn = page[page.index("<svg") : page.index("</svg>") + 6]
    assert len(ET.fromstring(drawn).findall("rect")) == 7
    assert "All 2 together" in page
    assert "No profile." in report.page([])
