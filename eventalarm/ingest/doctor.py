"""Conversion of a report in Doctor's southbound form (time, type, details) to a Ceilometer event."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from eventalarm.model import FLOAT, INTEGER, STRING, UTC, JSONDict, parse_time

# Namespace of the ids of reports without an id. Never change it: a report that is sent again keeps its id.
REPORTS: Final = uuid.UUID("0d4b8a53-3f0b-5b52-9d8e-9a1c2f7f3a61")

# Details that name the owner of the resource; the first that is present becomes the trait project_id.
OWNERS: Final = ("project_id", "tenant_id", "project", "tenant")
DEEPEST: Final = 8


class TooDeep(ValueError):
    """Details are nested deeper than :data:`DEEPEST`."""


def to_event(report: Mapping[str, Any], resource_traits: Sequence[str]) -> JSONDict:
    """Return the Ceilometer event that *report* (``time``, ``type``, maybe ``details``, ``id``) stands for.

    Every detail becomes a trait. A list or an object becomes a string, as in Ceilometer's converter, so that
    one rule fits both ways of reporting; members of an object become traits too, with dots in their names.
    Added are ``project_id``, from the first of :data:`OWNERS`, and ``resource_id``, from the first of
    *resource_traits*, where the details do not have them.

    :raises ValueError: when ``time`` is not a time.
    :raises TooDeep: when the details are nested too deep.
    """
    moment = parse_time(report["time"])
    details: Mapping[str, Any] = report.get("details") or {}
    values = dict(_flatten(details))
    for name, sources in (("project_id", OWNERS), ("resource_id", resource_traits)):
        found = next((values[source] for source in sources if values.get(source) not in (None, "")), None)
        if found is not None and values.get(name) in (None, ""):
            values[name] = found
    return {
        "message_id": report.get("id") or _report_id(moment.isoformat(), report["type"], details),
        "event_type": report["type"],
        "generated": moment.astimezone(UTC).replace(tzinfo=None).isoformat(),
        "traits": [[name, *_typed(value)] for name, value in values.items() if value is not None],
        "raw": {},
        "message_signature": "",
    }


def _report_id(moment: str, kind: str, details: Mapping[str, Any]) -> str:
    text = json.dumps([moment, kind, details], sort_keys=True, separators=(",", ":"))
    return str(uuid.uuid5(REPORTS, text))


def _flatten(values: Mapping[str, Any], prefix: str = "", level: int = 1) -> Iterator[tuple[str, Any]]:
    if level > DEEPEST:
        raise TooDeep(f"nested more than {DEEPEST} levels deep")
    for name, value in values.items():
        if isinstance(value, dict):
            within = list(_flatten(value, f"{prefix}{name}.", level + 1))
            yield f"{prefix}{name}", str(value)
            yield from within
        elif isinstance(value, list):
            # Only to check its depth.
            for _ in _flatten(dict(enumerate(value)), level=level + 1):  # type: ignore[arg-type]
                pass
            yield f"{prefix}{name}", str(value)
        else:
            yield f"{prefix}{name}", value


def _typed(value: object) -> tuple[int, object]:
    if isinstance(value, bool):
        # As in Ceilometer's converter, so that one rule fits both.
        return STRING, str(value)
    if isinstance(value, int):
        return INTEGER, value
    if isinstance(value, float):
        return FLOAT, value
    return STRING, value
