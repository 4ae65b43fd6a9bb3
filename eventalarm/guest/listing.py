"""What ``list`` and ``--once`` print: a row for each guest, as text or JSON. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Final

from eventalarm.guest.metadata import GuestSettings
from eventalarm.guest.tracker import GuestState

COLUMNS: Final = ("instance_id", "name", "project_id", "interval", "state", "reason")
NAMES: Final = ("INSTANCE", "NAME", "PROJECT", "INTERVAL", "STATE", "REASON")


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A guest; *state* is ok, failed, unknown or stopped, *reason* why."""

    instance_id: str
    name: str
    project_id: str
    interval: float
    state: str
    reason: str


def row(guest: GuestSettings, state: str, reason: str = "") -> Row:
    """Return the row of a guest."""
    shown = reason or (guest.problem and f"its flavor {guest.problem}")
    return Row(guest.instance_id, guest.name, guest.project_id, guest.interval, state, shown)


def stored_row(guest: GuestSettings, known: GuestState | None, running: bool) -> Row:
    """Return the row of a guest as the running monitor stored its state."""
    if known is not None and known.faults:
        faults = (f"{check} since {since:%Y-%m-%dT%H:%M:%SZ}" for check, since in known.faults.items())
        return row(guest, "failed", ", ".join(faults))
    if not running:
        return row(guest, "stopped")
    if not guest.has_agent:
        return row(guest, "unknown", "no channel for a guest agent: events of libvirt only")
    if known is None or not known.answered:
        return row(guest, "unknown", "the agent has not answered yet")
    return row(guest, "ok")


def as_json(rows: Iterable[Row]) -> str:
    """Return the rows as a JSON list."""
    return json.dumps([dataclasses.asdict(one) for one in rows])


def as_text(rows: Sequence[Row]) -> str:
    """Return the rows as a table, or a sentence if there are none."""
    if not rows:
        return "no guest is watched: none has opted in (see --help)"
    lines = [NAMES, *(_cells(one) for one in rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(NAMES))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(one: Row) -> tuple[str, ...]:
    values = dataclasses.asdict(one) | {"interval": f"{one.interval:g} s"}
    return tuple(_printable(str(values[name])) for name in COLUMNS)


def _printable(text: str) -> str:
    """Return text that a tenant may have chosen without control characters."""
    return "".join(character if character.isprintable() else "?" for character in text)


def is_failed(rows: Iterable[Row]) -> bool:
    """Return True if any guest is at fault."""
    return any(one.state == "failed" for one in rows)
