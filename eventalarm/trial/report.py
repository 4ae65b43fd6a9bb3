"""The report of a trial: one HTML page without scripts or references, a JSON file, and lines. Pure."""

from __future__ import annotations

import html
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from eventalarm.trial.history.availability import HEADINGS, cells
from eventalarm.trial.outcome import Made, Noticed, Outcome
from eventalarm.trial.picture import timeline

MOST_NOTIFICATIONS: Final = 200
NOTHING: Final = "-"
STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}th,td{padding:.2em 1em .2em 0;text-align:left;"
    "vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
    "th{border-bottom:1px solid #999}svg text{font:13px system-ui,sans-serif}svg text.t{font-size:11px;"
    "fill:#666}.bad{color:#b30000}.good{color:#1a7a2e}.note{color:#666}"
)
LEGEND: Final = (
    "Red: broken, or a monitor failed; orange: until it worked again; green: a monitor was content; "
    "violet: a notification; blue: the webhook of an event that a runner reported."
)


def headline(outcome: Outcome) -> str:
    """Return the result in one line."""
    left = [one.name for one in outcome.made if one.is_left]
    if left:
        return f"NOT UNDONE: {', '.join(left)}; undo it with: eventalarm-trial undo"
    if outcome.is_interrupted:
        return "interrupted; everything was undone"
    if outcome.errors:
        return "the trial itself failed; everything was undone"
    return "failed" if outcome.failures else "passed"


def lines(outcome: Outcome) -> Iterator[str]:
    """Yield what a person reads at the end on a terminal."""
    yield f"{outcome.name} on {outcome.stage}, seed {outcome.seed}: {headline(outcome)}"
    for made, found in zip(outcome.made, outcome.noticed, strict=True):
        broken = f"broken {made.undone - made.began:.1f} s"
        yield f"  {made.name}: {broken}, {_healing(made)}{_noticed(found, outcome)}"
    for one in outcome.watched:
        yield f"  monitor {one.name}: {one.percent:.2f} %, longest outage {one.longest:.1f} s"
    if outcome.rows:
        numbers = outcome.verdict.numbers
        yield f"  events: {numbers['events']} reported, {outcome.lost} lost, {outcome.doubled} doubled"
    for problem in (*outcome.errors, *outcome.failures, *outcome.verdict.problems):
        yield f"  WRONG {problem}"


def page(outcome: Outcome) -> str:
    """Return the page; every text of the scenario, the cloud or an alarm is escaped."""
    title = f"Trial {outcome.name}"
    good = "good" if not outcome.code else "bad"
    began = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(outcome.began))
    sections = [
        f'<p class="{good}"><b>{_text(headline(outcome))}</b></p>',
        f'<p class="note">{_text(outcome.stage)}, seed {outcome.seed}, {began}, '
        f"{outcome.ended - outcome.began:.0f} s</p>",
        _wrong(outcome),
        f'<h2>What happened when</h2>{timeline(outcome)}<p class="note">{LEGEND}</p>',
        _disruptions(outcome),
        _events(outcome),
        _monitors(outcome),
        _runners(outcome),
        _notifications(outcome),
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{_text(title)}</h1>{''.join(sections)}</body></html>\n"
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _healing(made: Made) -> str:
    return f"works again {made.ended - made.undone:.1f} s later" if not made.error else made.error


def _noticed(found: Noticed, outcome: Outcome) -> str:
    """Return the end of a line; nothing if the trial has no receiver."""
    if not outcome.has_receiver:
        return ""
    if found.latency is None:
        return ", not noticed"
    return f", noticed after {found.latency:.2f} s by {found.alarm}"


def _wrong(outcome: Outcome) -> str:
    problems = [*outcome.errors, *outcome.failures, *outcome.verdict.problems]
    items = "".join(f'<li class="bad">{_text(one)}</li>' for one in problems)
    return f"<ul>{items}</ul>" if items else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], texts: int = 1) -> str:
    """Return a table whose first *texts* columns are texts, and the others numbers."""

    def cell(kind: str, place: int, value: object) -> str:
        numeric = ' class="n"' if place >= texts else ""
        return f"<{kind}{numeric}>{_text(value)}</{kind}>"

    lines_of = ["".join(cell("th", place, one) for place, one in enumerate(heads))]
    lines_of += ["".join(cell("td", place, one) for place, one in enumerate(row)) for row in rows]
    return f"<table>{''.join(f'<tr>{one}</tr>' for one in lines_of)}</table>"


def _disruptions(outcome: Outcome) -> str:
    heads = ("disruption", "hosts", "noticed by", "at", "broken", "until it worked again", "noticed after")
    rows = [
        (
            made.name,
            ", ".join(made.effect.hosts) or NOTHING,
            found.alarm or NOTHING,
            f"{made.began - outcome.began:.1f} s",
            f"{made.undone - made.began:.1f} s",
            made.error or f"{made.ended - made.undone:.1f} s",
            NOTHING if found.latency is None else f"{found.latency:.2f} s",
        )
        for made, found in zip(outcome.made, outcome.noticed, strict=True)
    ]
    body = _table(heads, rows, texts=3) if rows else "<p>Nothing.</p>"
    return f"<h2>What was disrupted, and what was noticed</h2>{body}"


def _events(outcome: Outcome) -> str:
    if not outcome.rows:
        return "<h2>What was lost</h2><p>Unknown, since no events were reported: add the runner events.</p>"
    numbers = _table(("events and webhooks", "number"), _counted(outcome))
    table = _table(HEADINGS, (cells(row) for row in outcome.rows))
    words = f"{outcome.lost} lost, {outcome.doubled} doubled."
    return f"<h2>What was lost</h2><p>{words}</p>{numbers}{table}"


def _counted(outcome: Outcome) -> list[tuple[str, int]]:
    return [(name, number) for name, number in outcome.verdict.numbers.items() if number]


def _monitors(outcome: Outcome) -> str:
    if not outcome.watched:
        return ""
    heads = ("monitor", "samples", "available", "longest outage", "median", "99th percentile")
    rows = []
    for one in outcome.watched:
        median, worst = one.latency()
        rows.append(
            (
                one.name,
                len(one.samples),
                f"{one.percent:.2f} %",
                f"{one.longest:.1f} s",
                f"{median * 1000:.0f} ms",
                f"{worst * 1000:.0f} ms",
            )
        )
    outages = [
        (one.name, f"{began - outcome.began:.1f} s", f"{ended - began:.1f} s", detail)
        for one in outcome.watched
        for began, ended, detail in one.outages()
    ]
    details = _table(("monitor", "at", "for", "what it found"), outages, texts=4) if outages else ""
    return f"<h2>Availability by monitor</h2>{_table(heads, rows)}{details}"


def _runners(outcome: Outcome) -> str:
    rows = [
        (name, what, f"{number:g}")
        for name, numbers in outcome.results.items()
        for what, number in numbers.items()
    ]
    return f"<h2>Load</h2>{_table(('runner', 'what', 'number'), rows, texts=2)}" if rows else ""


def _notifications(outcome: Outcome) -> str:
    found = [one for one in outcome.notifications if not one.is_probe]
    rows = [
        (one.alarm, one.state, one.severity, one.resource, f"{one.at - outcome.began:.2f} s")
        for one in found[:MOST_NOTIFICATIONS]
    ]
    if not rows:
        return ""
    rest = len(found) - len(rows)
    more = f'<p class="note">and {rest} more, in the JSON file</p>' if rest else ""
    heads = ("alarm", "state", "severity", "resource", "at")
    return f"<h2>Notifications</h2>{_table(heads, rows, texts=4)}{more}"
