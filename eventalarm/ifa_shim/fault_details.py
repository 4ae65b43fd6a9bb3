"""The ``faultDetails`` of an alarm: what a consumer learns beyond the fields that SOL003 defines. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final

from eventalarm.ifa_shim.alarm import rfc3339
from eventalarm.ifa_shim.occurrences import OccurrenceView
from eventalarm.model import Event

# SOL003's fault type of planned maintenance, whose details are mandatory (clause 7.5.2.4).
STATE_CHANGE: Final = "NFVI_OAM_VIRTUALISED_RESOURCE_STATE_CHANGE"

# The longest string, in characters, and the most traits of one alarm.
DETAIL_LENGTH: Final = 255

MAX_DETAILS: Final = 64

ESTIMATED_RAISE: Final = "raised_time=estimated"

DELETED_ALARM: Final = "deleted=true"


def fault_details(
    definition: Mapping[str, Any], view: OccurrenceView, event: Event | None, fault_type: str = ""
) -> tuple[str, ...]:
    """Return sorted strings, bounded in number and length.

    *definition* holds the details that come from the alarm's definition; empty ones are left out. *event* is
    the event that raised the occurrence, if it is known.
    """
    first, last = view.first, view.changes[-1]
    manual = first.manual or (last.manual and not view.active)
    found: dict[str, Any] = {
        **definition,
        **(_state_change(event, view.raised_at) if fault_type == STATE_CHANGE else {}),
        "cleared_time": "estimated" if last.estimated and not view.active else "",
        "hits": view.hits if view.hits > 1 else "",
        "last_event_time": rfc3339(view.last_hit_at) if view.last_hit_at is not None else "",
        "manual": "true" if manual else "",
        "raised_time": "estimated" if first.estimated else "",
        "reason": last.reason or first.reason,
        "user_id": (last.user_id or first.user_id) if manual else "",
    }
    texts = [f"{key}={_short(value)}" for key, value in found.items() if value != ""]
    return tuple(sorted([*texts, *_traits(event)[: MAX_DETAILS - len(texts)]]))


def _state_change(event: Event | None, raised_at: datetime.datetime) -> dict[str, str]:
    """Return the details that SOL003 clause 7.5.2.4 demands of planned maintenance."""
    named = event.trait("anticipated_time") if event is not None else None
    return {
        "anticipatedTime": rfc3339(named if isinstance(named, datetime.datetime) else raised_at),
        "affinityOrAntiAffinityGroupId": event.first_trait(("server_group",)) if event is not None else "",
    }


def _traits(event: Event | None) -> list[str]:
    traits = event.body.get("traits") if event is not None else None
    if event is None or not isinstance(traits, list):
        return []
    named = sorted({t[0] for t in traits if isinstance(t, list | tuple) and t and isinstance(t[0], str)})
    return [_trait(name, event.trait(name)) for name in named[:MAX_DETAILS]]


def _trait(name: str, value: object) -> str:
    text = f"trait.{name}={'' if value is None else value}"
    # Nearly all are short enough.
    return text if len(text) <= DETAIL_LENGTH else f"trait.{_short(name)}={_short(value)}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= DETAIL_LENGTH else f"{text[: DETAIL_LENGTH - 1]}…"
