"""Reading events from files: as Ceilometer stores or publishes them, or in the body of a webhook."""

from __future__ import annotations

import json
from typing import Any

FORMS = (
    "an event as Ceilometer stores it, a list of them, lines of Ceilometer's publisher file://…?json, "
    "or the body of a webhook"
)


class NotAnEvent(ValueError):
    """The text contains no event in a known form; the message lists the forms."""


def read(text: str) -> list[dict[str, Any]]:
    """Return the events in *text*, in the form that Ceilometer stores, in order.

    :raises NotAnEvent: when *text* is not JSON, or contains anything but events.
    """
    documents = _documents(text)
    return [_event(one) for one in documents]


def _documents(text: str) -> list[Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            found = [json.loads(line) for line in lines]
        except (ValueError, RecursionError):
            raise NotAnEvent(f"not JSON: {exc}") from exc
        if not found:
            raise NotAnEvent("the file is empty") from exc
        return found
    return document if isinstance(document, list) else [document]


def _event(document: Any) -> dict[str, Any]:
    found = document
    if isinstance(found, dict) and "event_type" not in found:
        # A webhook carries its event in reason_data.
        reason_data = found.get("reason_data")
        found = reason_data.get("event") if isinstance(reason_data, dict) else None
    if not isinstance(found, dict) or "event_type" not in found:
        raise NotAnEvent(f"not an event; must be {FORMS}")
    traits = found.get("traits")
    if not isinstance(traits, list):
        return found
    return {**found, "traits": [_trait(one) for one in traits]}


def _trait(trait: Any) -> Any:
    """Return a trait as ``[name, dtype, value]``, also for the object that a file publisher writes."""
    if isinstance(trait, dict) and {"name", "dtype", "value"} <= trait.keys():
        return [trait["name"], trait["dtype"], trait["value"]]
    return trait
