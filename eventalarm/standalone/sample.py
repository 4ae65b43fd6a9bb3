"""A recorded Nova notification of a fault, and the notifications derived from it."""

from __future__ import annotations

import datetime
import importlib.resources
import json
import uuid
from typing import Final, cast

from eventalarm.model import UTC, JSONDict

NAME: Final = "nova-compute.instance.update-error.json"
EXCHANGE: Final = "nova"


def fault() -> JSONDict:
    """Return Nova's notification of a server going from active to error, without message id and time.

    It was recorded in a running cloud; identifiers are placeholders.
    """
    text = importlib.resources.files("eventalarm.standalone").joinpath("data", NAME).read_text()
    recorded = cast(JSONDict, json.loads(text))
    return {name: value for name, value in recorded.items() if name not in ("message_id", "timestamp")}


def recovery() -> JSONDict:
    """Return Nova's notification that the server is active again, without message id and time."""
    return _with_payload(fault(), state="active", old_state="error")


def another_fault() -> JSONDict:
    """Return the same fault for another server, without message id and time."""
    return _with_payload(fault(), instance_id=str(uuid.uuid4()))


def sent_now(notification: JSONDict, now: datetime.datetime) -> JSONDict:
    """Return *notification* with a new message id and the time *now* in Nova's format."""
    written = str(now.astimezone(UTC).replace(tzinfo=None))
    return {**notification, "message_id": str(uuid.uuid4()), "timestamp": written}


def _with_payload(notification: JSONDict, **changes: str) -> JSONDict:
    return {**notification, "payload": {**notification["payload"], **changes}}
