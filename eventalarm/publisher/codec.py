"""The wire format of the ``event_eval`` topic, used by publisher and listener: a list of serialised events.

It is the format of Ceilometer's own ``notifier://`` publisher, so that a stock consumer can read it. Events
whose owner can be found only by their event definition have one extra field, ``owner_trait``.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from oslo_serialization import jsonutils

from eventalarm.exceptions import InvalidEvent
from eventalarm.model import DEFAULT_LIMITS, Event, EventLimits, JSONDict
from eventalarm.owner import PROJECT, TENANT

# RabbitMQ limits the whole message: the envelope of oslo.messaging and its context come on top of the events.
ENVELOPE_SIZE = 1024

# The field that the publisher adds to an event; the listener removes it.
OWNER_TRAIT: Final = "owner_trait"
OWNER_TRAITS: Final = frozenset({PROJECT, TENANT})


@dataclasses.dataclass(frozen=True, slots=True)
class Encoded:
    """One event that can be serialised; ``size`` is its size on the wire in bytes."""

    body: JSONDict
    size: int

    @property
    def message_id(self) -> str:
        """The id of the event, for the log."""
        return str(self.body.get("message_id", ""))

    def without_raw(self) -> Encoded | None:
        """Return the event without its copy of the notification, or None if it has none."""
        if not self.body.get("raw"):
            return None
        return encode({**self.body, "raw": {}})


def encode(body: JSONDict) -> Encoded:
    """Check that an event (``Event.serialize()`` of Ceilometer) is valid JSON, and measure it.

    :raises InvalidEvent: when it cannot be serialised.
    """
    try:
        text = jsonutils.dumps(body)
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidEvent("not_json", str(exc)[:200], str(body.get("message_id", ""))) from exc
    # The text is sent as a string inside another JSON document, which escapes these two characters again.
    return Encoded(body, len(text) + text.count('"') + text.count("\\") + 2)


def decode(payload: object, limits: EventLimits = DEFAULT_LIMITS) -> tuple[list[Event], list[InvalidEvent]]:
    """Return the events of a message and, separately, the errors of those that cannot be read.

    One hostile event does not affect the others (guarantee G6). A single event that is not in a list is
    accepted. Never raises, whatever the payload.
    """
    if isinstance(payload, dict):
        payload = [payload]
    if not isinstance(payload, list | tuple):
        return [], [InvalidEvent("not_a_list", type(payload).__name__)]
    events, invalid = [], []
    for body in payload:
        try:
            events.append(_decode_one(body, limits))
        except InvalidEvent as exc:
            invalid.append(exc)
        except Exception as exc:  # noqa: BLE001 - hostile input must not stop the other events
            invalid.append(InvalidEvent("unreadable", type(exc).__name__, _message_id(body)))
    return events, invalid


def _decode_one(body: object, limits: EventLimits) -> Event:
    if isinstance(body, dict) and OWNER_TRAIT in body:
        trait = body[OWNER_TRAIT]
        event = Event.parse({name: value for name, value in body.items() if name != OWNER_TRAIT}, limits)
        event.owner_trait = trait if isinstance(trait, str) and trait in OWNER_TRAITS else ""
    else:
        event = Event.parse(body, limits)
    for name, text in (("message_id", event.message_id), ("event_type", event.event_type)):
        # PostgreSQL refuses NUL, and every database driver refuses an unpaired surrogate.
        if "\x00" in text or not _is_unicode(text):
            raise InvalidEvent(f"bad_{name}", repr(text)[:80], repr(event.message_id)[1:-1][:80])
    return event


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _message_id(body: object) -> str:
    message_id = body.get("message_id") if isinstance(body, dict) else None
    return message_id if isinstance(message_id, str) else ""
