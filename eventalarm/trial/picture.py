"""The timeline of a trial as SVG: disruptions, samples of the monitors, events and notifications. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from eventalarm.trial.outcome import Made, Outcome, Watched

WIDTH: Final = 960
LABELS: Final = 230
ROW: Final = 26
TICKS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
MOST_TICKS: Final = 12
MOST_LABEL: Final = 34
BROKEN, RECOVERING, GOOD, BAD = "#d7301f", "#fdae6b", "#b7dfb9", "#d7301f"
NOTIFIED, PROBE = "#54278f", "#9ecae1"


@dataclass(frozen=True)
class _Scale:
    began: float
    ended: float

    def at(self, moment: float) -> float:
        share = (moment - self.began) / max(self.ended - self.began, 0.001)
        return LABELS + min(max(share, 0.0), 1.0) * (WIDTH - LABELS - 10)


def timeline(outcome: Outcome) -> str:
    """Return the picture; every text is escaped. Hovering shows times and details."""
    scale = _Scale(outcome.began, outcome.ended)
    rows = list(_rows(outcome, scale))
    height = ROW * len(rows) + 24
    parts = [_axis(scale, height)]
    for number, (label, body) in enumerate(rows):
        parts.append(
            f'<g transform="translate(0 {number * ROW})"><text x="0" y="17">'
            f"{html.escape(_short(label))}<title>{html.escape(label)}</title></text>{body}</g>"
        )
    return (
        f'<svg role="img" aria-label="what happened when" viewBox="0 0 {WIDTH} {height}" '
        f'width="100%">{"".join(parts)}</svg>'
    )


def _short(label: str) -> str:
    return label if len(label) <= MOST_LABEL else f"{label[: MOST_LABEL - 1]}…"


def _rows(outcome: Outcome, scale: _Scale) -> Iterator[tuple[str, str]]:
    names = list(dict.fromkeys(one.name for one in outcome.made))
    for name in names:
        yield name, _disruptions([one for one in outcome.made if one.name == name], scale)
    for watched in outcome.watched:
        yield f"monitor {watched.name}", _samples(watched, scale)
    alarms = [one for one in outcome.notifications if not one.is_probe]
    if outcome.notifications:
        marks = ((one.at, f"{one.alarm} {one.state}") for one in alarms)
        yield "notifications", "".join(_mark(scale, at, NOTIFIED, text) for at, text in marks)
    if any(one.is_probe for one in outcome.notifications):
        marks = ((one.at, one.resource) for one in outcome.notifications if one.is_probe)
        yield "webhooks of reported events", "".join(_mark(scale, at, PROBE, text) for at, text in marks)


def _disruptions(made: Sequence[Made], scale: _Scale) -> str:
    return "".join(
        _bar(scale, one.began, one.undone, BROKEN, f"{one.name}: broken")
        + _bar(scale, one.undone, one.ended, RECOVERING, one.error or f"{one.name}: until it worked again")
        for one in made
    )


def _samples(watched: Watched, scale: _Scale) -> str:
    if not watched.samples:
        return ""
    first, last = watched.samples[0], watched.samples[-1]
    bars = [_bar(scale, first.at, last.at + last.seconds, GOOD, f"{watched.name}: {watched.percent:.2f} %")]
    bars += [
        _bar(scale, began, ended, BAD, f"{ended - began:.1f} s: {detail}")
        for began, ended, detail in watched.outages()
    ]
    return "".join(bars)


def _bar(scale: _Scale, began: float, ended: float, colour: str, title: str) -> str:
    left = scale.at(began)
    width = max(scale.at(ended) - left, 1.5)
    times = f"{began - scale.began:.1f} to {ended - scale.began:.1f} s"
    return (
        f'<rect x="{left:.1f}" y="4" width="{width:.1f}" height="{ROW - 8}" fill="{colour}">'
        f"<title>{times}: {html.escape(title)}</title></rect>"
    )


def _mark(scale: _Scale, at: float, colour: str, title: str) -> str:
    place = scale.at(at)
    return (
        f'<line x1="{place:.1f}" x2="{place:.1f}" y1="3" y2="{ROW - 4}" stroke="{colour}" stroke-width="2">'
        f"<title>{at - scale.began:.2f} s: {html.escape(title)}</title></line>"
    )


def _axis(scale: _Scale, height: int) -> str:
    length = scale.ended - scale.began
    every = next((one for one in TICKS if length / one <= MOST_TICKS), TICKS[-1])
    parts = []
    for number in range(int(length / every) + 1):
        place = scale.at(scale.began + number * every)
        parts.append(
            f'<line x1="{place:.1f}" x2="{place:.1f}" y1="0" y2="{height - 20}" stroke="#ddd"/>'
            f'<text x="{place:.1f}" y="{height - 6}" text-anchor="middle" class="t">{number * every} s</text>'
        )
    return "".join(parts)
