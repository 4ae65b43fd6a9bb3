"""The page: complete, escaped, and without anything from elsewhere."""

from __future__ import annotations

import dataclasses
import html.parser
import re
from xml.etree import ElementTree

from eventalarm.trial import report
from eventalarm.trial.history.availability import Availability
from eventalarm.trial.outcome import Watched
from eventalarm.trial.picture import timeline
from eventalarm.trial.plugins import Notification, Sample
from tests.unit.trial.test_outcome import made, outcome

HOSTILE = "<script>alert('&')</script>"


class _Tags(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in {"meta"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_no_text_of_the_cloud_becomes_markup() -> None:
    """Red if one of them is not escaped, or an element is not closed."""
    samples = (Sample(1, 0.1, True), Sample(2, 0.1, False, HOSTILE))
    page = report.page(
        outcome(
            name=HOSTILE,
            stage=HOSTILE,
            made=(made(10, name=HOSTILE, error=HOSTILE), made(20, is_left=True)),
            watched=(Watched(HOSTILE, samples),),
            notifications=(
                Notification(11, HOSTILE, HOSTILE, HOSTILE, HOSTILE),
                Notification(12, HOSTILE, "alarm"),
            ),
            problems=(HOSTILE,),
            results={HOSTILE: {HOSTILE: 1.0}},
            rows=(Availability(HOSTILE, 1, 1, 0, 0, (1.0,), (2.0,)),),
        )
    )
    tags = _Tags(page)
    assert tags.open == []
    assert not tags.seen & {"script", "link", "img", "iframe"}
    assert page.count("&lt;script&gt;") > 10
    assert re.findall(r"(?:https?:)?//\w", page) == []


def test_the_picture_is_xml_and_everything_is_inside() -> None:
    picture = ElementTree.fromstring(timeline(outcome(made=(made(10, 500), made(-5)))))
    bars = list(picture.iter("rect"))
    assert len(bars) == 4
    for one in bars:
        assert 0 <= float(one.get("x", "-1")) + float(one.get("width", "0")) <= 960 + 2


def test_the_lines_say_what_was_noticed_and_what_is_wrong() -> None:
    text = "\n".join(report.lines(outcome(problems=("rally failed",))))
    assert "noticed after 2.50 s by host-down" in text
    assert "WRONG rally failed" in text
    blind = outcome(notifications=(), has_receiver=False)
    assert "noticed" not in "".join(report.lines(blind)), "nobody could have"
    assert report.headline(outcome()) == "passed"
    assert "undo" in report.headline(dataclasses.replace(outcome(), made=(made(1, is_left=True),)))
