"""Profiles as text: a table sorted by cost, and a picture with one bar for each stage. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Sequence
from typing import Final

from eventalarm.model import UTC, JSONDict
from eventalarm.profile.stages import Breakdown, StageTime
from eventalarm.profile.summary import AlarmProfile, Cost, costs, median

BAR_WIDTH: Final = 24
EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
BOLD: Final = "1"
DIM: Final = "2"
RED: Final = "31"
CYAN: Final = "36"
SKEW: Final = "clocks differ: "


@dataclasses.dataclass(frozen=True, slots=True)
class Style:
    """What the terminal shows: *fine* characters or ASCII, and colours."""

    fine: bool = False
    colour: bool = False

    def paint(self, text: str, code: str) -> str:
        """Return *text* with an ANSI style."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text.strip() else text


def bar(start: float, end: float, total: float, *, fine: bool) -> str:
    """Return a bar from *start* to *end* on a scale of *total*, as text of at most BAR_WIDTH characters.

    *fine* draws eighths of a character; otherwise ``#`` is used. A stage that took any time is visible.
    """
    scale = BAR_WIDTH / total if total > 0 else 0.0
    first = min(int(start * scale), BAR_WIDTH - 1)
    length = (end - start) * scale
    if not fine:
        return " " * first + "#" * max(round(length), 1 if end > start else 0)
    eighths = max(round(length * 8), 1 if end > start else 0)
    whole, rest = divmod(eighths, 8)
    return " " * first + "█" * whole + EIGHTHS[rest].strip()


def one_profile(one: AlarmProfile, style: Style) -> str:
    """Return the table and the picture of the profile of one delivery."""
    found = one.breakdown
    head = f"{one.title}: {milliseconds(found.total)} ms from {found.first!r} to {_last(found)!r}"
    began = datetime.datetime.fromtimestamp(found.started_at, UTC).isoformat(timespec="milliseconds")
    lines = [style.paint(head, BOLD), style.paint(f"{one.detail}, began {began}", DIM), ""]
    lines += table([Cost.of(stage) for stage in found.by_cost], style)
    lines += ["", *picture(found, style)]
    lines += [style.paint(f"{SKEW}{skew_text(stage)}", RED) for stage in found.skewed]
    return "\n".join(lines)


def many_profiles(profiles: Sequence[AlarmProfile], style: Style) -> str:
    """Return the costs of all profiles together, a line for each, and the picture of the median one."""
    typical = median(profiles)
    head = f"{len(profiles)} profiles; times are medians, the share is of the time of all"
    lines = [style.paint(head, BOLD), "", *table(costs(profiles), style), ""]
    lines += [f"{milliseconds(one.breakdown.total):>10} ms  {one.title}, {one.detail}" for one in profiles]
    return "\n".join([*lines, "", style.paint("The median one:", BOLD), one_profile(typical, style)])


def table(rows: Iterable[Cost], style: Style) -> list[str]:
    """Return the lines of a table of components, which are sorted already."""
    found = [
        (one.component, one.checkpoint, milliseconds(one.seconds), f"{one.percent:.1f} %") for one in rows
    ]
    heads = ("component", "checkpoint", "ms", "percent")
    widths = [max(map(len, column)) for column in zip(heads, *found, strict=True)]

    def line(cells: Sequence[str]) -> str:
        left = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
        return "  ".join([*left, *right])

    return [style.paint(line(heads), DIM), *map(line, found)]


def picture(found: Breakdown, style: Style) -> list[str]:
    """Return a line for each stage in the order of the work: its bar, and when it ended."""
    width = max(len(one.component) for one in found.stages)
    # With clocks that differ, a stage may begin before the first or end after the last checkpoint.
    low = min(0.0, *(min(one.begin, one.begin + one.seconds) for one in found.stages))
    high = max(max(one.begin, one.begin + one.seconds) for one in found.stages)
    lines = []
    for one in found.stages:
        ends = sorted((one.begin - low, one.begin + one.seconds - low))
        drawn = bar(ends[0], ends[1], high - low, fine=style.fine)[:BAR_WIDTH].ljust(BAR_WIDTH)
        drawn = style.paint(drawn, RED if one.seconds < 0 else CYAN)
        lines.append(f"{one.component.ljust(width)}  {drawn}  {milliseconds(one.begin + one.seconds):>9} ms")
    return lines


def skew_text(stage: StageTime) -> str:
    """Return what is known of two clocks from a stage that ended before it began."""
    lag = milliseconds(-stage.seconds)
    return f"{stage.checkpoint!r} ({stage.component}) is {lag} ms before the checkpoint that precedes it"


def milliseconds(seconds: float) -> str:
    """Return a duration in milliseconds, to the microsecond where that matters."""
    value = seconds * 1000
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def as_json(one: AlarmProfile) -> JSONDict:
    """Return the profile of one delivery as JSON has it."""
    found = one.breakdown
    return {
        **one.names,
        "started_at": datetime.datetime.fromtimestamp(found.started_at, UTC).isoformat(),
        "first_checkpoint": found.first,
        "total_seconds": round(found.total, 6),
        "stages": [
            {
                "component": stage.component,
                "checkpoint": stage.checkpoint,
                "origin": stage.origin.value,
                "begin_seconds": round(stage.begin, 6),
                "seconds": round(stage.seconds, 6),
                "percent": stage.percent,
            }
            for stage in found.stages
        ],
    }


def _last(found: Breakdown) -> str:
    return found.stages[-1].checkpoint
