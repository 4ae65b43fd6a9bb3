"""Profiles as one HTML page without scripts or references, with the picture as SVG. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Final

from eventalarm.profile.picture import SKEW, milliseconds, skew_text
from eventalarm.profile.stages import Breakdown, Origin
from eventalarm.profile.summary import AlarmProfile, Cost, costs

WIDTH: Final = 720
LABELS: Final = 160
ROW: Final = 24
COLOURS: Final = {Origin.REPORTER: "#8c6bb1", Origin.SERVICE: "#2b8cbe", Origin.CONSUMER: "#41ab5d"}
SKEWED: Final = "#d7301f"
STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:56em;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}th,td{padding:.2em 1em .2em 0;text-align:left}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}th{border-bottom:1px solid #999}"
    "svg text{font:13px system-ui,sans-serif}.skew{color:#d7301f}.note{color:#666}"
)


def page(profiles: Sequence[AlarmProfile], title: str = "Where the time of alarms goes") -> str:
    """Return the page; every text of an event, alarm or consumer is escaped."""
    parts = [_section(one) for one in profiles]
    if len(profiles) > 1:
        parts.insert(0, f"<h2>All {len(profiles)} together</h2>{_table(costs(profiles))}")
    if not profiles:
        parts = ["<p>No profile.</p>"]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>{''.join(parts)}"
        '<p class="note">Violet: reporter; blue: services; green: consumer; red: clocks differ.</p>'
        "</body></html>\n"
    )


def _section(one: AlarmProfile) -> str:
    found = one.breakdown
    skewed = "".join(f'<p class="skew">{html.escape(SKEW + skew_text(stage))}</p>' for stage in found.skewed)
    return (
        f"<h2>{html.escape(one.title)}: {milliseconds(found.total)} ms</h2>"
        f'<p class="note">{html.escape(one.detail)}</p>'
        f"{_table(Cost.of(stage) for stage in found.by_cost)}{_picture(found)}{skewed}"
    )


def _table(rows: Iterable[Cost]) -> str:
    lines = "".join(
        f"<tr><td>{html.escape(one.component)}</td><td>{html.escape(one.checkpoint)}</td>"
        f'<td class="n">{milliseconds(one.seconds)}</td><td class="n">{one.percent:.1f} %</td></tr>'
        for one in rows
    )
    heads = '<th>component</th><th>checkpoint</th><th class="n">ms</th><th class="n">percent</th>'
    return f"<table><tr>{heads}</tr>{lines}</table>"


def _picture(found: Breakdown) -> str:
    ends = [place for one in found.stages for place in (one.begin, one.begin + one.seconds)]
    low, high = min(0.0, *ends), max(ends)
    scale = (WIDTH - LABELS) / (high - low) if high > low else 0.0
    rows = []
    for number, one in enumerate(found.stages):
        left = LABELS + (min(one.begin, one.begin + one.seconds) - low) * scale
        colour = SKEWED if one.seconds < 0 else COLOURS[one.origin]
        rows.append(
            f'<text x="0" y="{number * ROW + 16}">{html.escape(one.component[:24])}</text>'
            f'<rect x="{left:.1f}" y="{number * ROW + 4}" width="{max(abs(one.seconds) * scale, 1):.1f}" '
            f'height="{ROW - 8}" fill="{colour}"><title>{html.escape(one.checkpoint)}: '
            f"{milliseconds(one.seconds)} ms</title></rect>"
        )
    height = ROW * len(found.stages)
    return (
        f'<svg role="img" aria-label="stages in the order of the work" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}">{"".join(rows)}</svg>'
    )
