"""The reasons of event alarms, as Aodh writes them: composed and read in one place, in linear time.

``Event <id=ID,event_type=TYPE> hits the query <query=JSON>.`` Events choose ID and TYPE, tenants the JSON,
and each can hold any text: what a reason says is a hint. Code that has the event or the rule asks those.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

EVENT: Final = "Event <id="
EVENT_TYPE: Final = ",event_type="
VERDICT: Final = "> "
QUERY: Final = " the query <query="


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What a reason says: ``query`` is JSON, or what stands in its place."""

    message_id: str
    event_type: str
    query: str


def compose(message_id: str, event_type: str, verdict: str, query: Any) -> str:
    """Return a reason, in the words that consumers of Aodh's event alarms parse."""
    text = json.dumps(query or [], sort_keys=True)
    return f"{EVENT}{message_id}{EVENT_TYPE}{event_type}{VERDICT}{verdict} <query={text}>."


def message_id_of(reason: str) -> str:
    """Return the message id that the beginning of a reason names, or an empty text."""
    _, begun, rest = reason.partition(EVENT)
    message_id, named, _ = rest.partition(EVENT_TYPE)
    return message_id if begun and named else ""


def read(reason: str) -> Said | None:
    """Return what a reason says, None when it is not that of an event alarm."""
    if not reason.startswith(EVENT):
        return None
    message_id, named, rest = reason.removeprefix(EVENT).partition(EVENT_TYPE)
    event_type, judged, rest = rest.partition(VERDICT)
    _, asked, query = rest.partition(QUERY)
    if not (message_id and named and event_type and judged and asked and query.endswith((">", ">."))):
        return None
    return Said(message_id, event_type, query.removesuffix(".").removesuffix(">"))


def query_of(reason: str, message_id: str = "", event_type: str = "") -> Any:
    """Return the query that a reason quotes, or None.

    With the event's own *message_id* and *event_type* nothing in them is mistaken for the query.
    """
    known = f"{EVENT}{message_id}{EVENT_TYPE}{event_type}{VERDICT}"
    if message_id and reason.startswith(known):
        reason = f"{EVENT}-{EVENT_TYPE}-{VERDICT}{reason.removeprefix(known)}"
    said = read(reason)
    try:
        return json.loads(said.query) if said is not None else None
    except (ValueError, RecursionError):
        return None
