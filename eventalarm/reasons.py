"""The reasons of event alarms, composed and parsed in one place and in linear time.

The text is ``Event <id=ID,event_type=TYPE> hits the query <query=JSON>.``, as Aodh writes it. Events choose
ID and TYPE, tenants the JSON, and each can contain any text: treat what is parsed from a reason as a hint,
and prefer the event or the rule where they are available.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

_EVENT: Final = "Event <id="
_TYPE: Final = ",event_type="
_VERDICT: Final = "> "
_QUERY: Final = " the query <query="


@dataclasses.dataclass(frozen=True, slots=True)
class ParsedReason:
    """The parts of a reason; ``query`` is JSON, or whatever text stands in its place."""

    message_id: str
    event_type: str
    query: str


def compose(message_id: str, event_type: str, verdict: str, query: Any) -> str:
    """Return a reason in the form that consumers of Aodh's event alarms parse."""
    text = json.dumps(query or [], sort_keys=True)
    return f"{_EVENT}{message_id}{_TYPE}{event_type}{_VERDICT}{verdict} <query={text}>."


def message_id_in(reason: str) -> str:
    """Return the message id that the beginning of a reason names, or an empty string."""
    _, begun, rest = reason.partition(_EVENT)
    message_id, named, _ = rest.partition(_TYPE)
    return message_id if begun and named else ""


def parse(reason: str) -> ParsedReason | None:
    """Return the parts of a reason, or None if it is not the reason of an event alarm."""
    if not reason.startswith(_EVENT):
        return None
    message_id, named, rest = reason.removeprefix(_EVENT).partition(_TYPE)
    event_type, decided, rest = rest.partition(_VERDICT)
    _, quoted, query = rest.partition(_QUERY)
    if not (message_id and named and event_type and decided and quoted and query.endswith((">", ">."))):
        return None
    return ParsedReason(message_id, event_type, query.removesuffix(".").removesuffix(">"))


def query_in(reason: str, message_id: str = "", event_type: str = "") -> Any:
    """Return the query that a reason quotes, decoded from JSON, or None.

    Given the *message_id* and *event_type* of the event, nothing in them is mistaken for the query.
    """
    known = f"{_EVENT}{message_id}{_TYPE}{event_type}{_VERDICT}"
    if message_id and reason.startswith(known):
        reason = f"{_EVENT}-{_TYPE}-{_VERDICT}{reason.removeprefix(known)}"
    parsed = parse(reason)
    try:
        return json.loads(parsed.query) if parsed is not None else None
    except (ValueError, RecursionError):
        return None
