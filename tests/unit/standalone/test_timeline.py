"""The demo's figures, and how they are drawn."""

from __future__ import annotations

import datetime
import io
import itertools

import pytest
from rich.console import Console

from eventalarm.model import Stage
from eventalarm.standalone import console
from eventalarm.standalone.timeline import Result
from eventalarm.trace import Timeline, Trace


def trace_at(*ticks: float) -> Trace:
    following = itertools.chain([0.0, *ticks], itertools.repeat(99.0))
    return Trace(lambda: next(following))


def test_stages_are_counted_from_the_time_in_the_notification() -> None:
    one = trace_at(2.0, 2.001, 2.002, 2.003, 2.004, 2.005, 2.006)
    at = one.now()
    one.generated("m", at)
    for stage in list(Stage)[1:]:
        one.mark(stage, "m")

    timeline = one.wait("m", 0)

    assert list(timeline.ms) == list(Stage)
    assert list(timeline.ms.values()) == pytest.approx([0, 1, 2, 3, 4, 5, 6], abs=0.01)
    assert timeline.total == pytest.approx(6, abs=0.01)


def test_the_first_time_of_a_repeated_stage_counts() -> None:
    one = trace_at(1.0, *range(2, 8), 50.0)
    one.generated("m", one.now())
    for stage in [*list(Stage)[1:], Stage.SENT]:
        one.mark(stage, "m")

    assert one.wait("m", 0).ms[Stage.SENT] == pytest.approx(5000, abs=0.1)


def test_a_stage_that_is_not_reached_is_named() -> None:
    one = Trace()
    one.generated("m", one.now())
    one.mark(Stage.PUBLISHED, "m")
    one.mark(Stage.RECEIVED, "another")

    with pytest.raises(TimeoutError, match="not received within"):
        one.wait("m", 0.01)


def test_the_clock_of_the_trace_is_that_of_the_day() -> None:
    assert abs(Trace().now() - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(seconds=1)


def line(total: float) -> Timeline:
    return Timeline(f"m{total}", {stage: total * number / 6 for number, stage in enumerate(Stage)})


def test_the_typical_fault_is_the_median_one_and_no_recovery() -> None:
    more = [line(ms) for ms in (9.0, 1.0, 30.0, 2.0, 10.0, 3.0)]
    result = Result("a", 1.0, line(50.0), line(40.0), more)

    assert result.typical.total == 10.0
    assert (result.median, result.slowest) == (6.0, 30.0)


def test_plain_text_where_there_is_no_terminal() -> None:
    output = io.StringIO()
    one = console.Screen(Console(file=output, width=80))

    one.done("It works", "1 ms")
    with one.doing("never seen"):
        pass
    one.timeline("Time", line(12.0))

    text = output.getvalue()
    assert text.isascii()
    assert "\x1b" not in text
    assert "never seen" not in text
    rows = text.splitlines()
    assert rows[0] == "ok It works  1 ms"
    answered = next(row for row in rows if row.startswith("answered"))
    assert answered.split() == ["answered", "2.0", "####", "12.0", "consumer", "answered", "200"]
    assert max(map(len, rows)) <= 80


def test_a_terminal_gets_symbols_unless_it_asks_for_none() -> None:
    output = io.StringIO()
    one = console.Screen(Console(file=output, width=80, force_terminal=True, no_color=True))

    one.done("It works")

    assert output.getvalue().startswith("ok It works")
