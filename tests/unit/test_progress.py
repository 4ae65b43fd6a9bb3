"""When progress lines are written, and what they look like."""

from __future__ import annotations

import io

from eventalarm.progress import Progress


def test_long_work_is_reported_every_two_seconds() -> None:
    now, stream = [10.0], io.StringIO()
    progress = Progress(stream, lambda: now[0])
    progress.scope("fill: ")
    for moment, text in ((10.5, "one"), (12.0, "two"), (13.9, "three"), (14.0, "four")):
        now[0] = moment
        progress.tick(text)
    assert stream.getvalue() == "[   2.0 s] fill: two\n[   4.0 s] fill: four\n"


def test_a_command_begins_its_lines_with_its_name() -> None:
    stream = io.StringIO()
    Progress(stream, prefix="command: ", timed=False).say("3 so far")
    assert stream.getvalue() == "command: 3 so far\n"
