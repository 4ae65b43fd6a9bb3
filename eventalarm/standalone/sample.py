"""A real Nova notification and what is made of it: a fault and its recovery, told again with a fresh time."""

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
    """Return what Nova said when a server went from active to error, without message id and time.

    It was recorded in a running cloud; identifiers were replaced by placeholders.
    """
    text = importlib.resources.files("eventalarm.standalone").joinpath("data", NAME).read_text()
    recorded = cast(JSONDict, json.loads(text))
    return {name: value for name, value in recorded.items() if name not in ("message_id", "timestamp")}


def recovery() -> JSONDict:
    """Return what Nova says when that server is active again, without message id and time."""
    return _with_payload(fault(), state="active", old_state="error")


def another_fault() -> JSONDict:
    """Return the same fault of another server, without message id and time."""
    return _with_payload(fault(), instance_id=str(uuid.uuid4()))


def told_now(notification: JSONDict, now: datetime.datetime) -> JSONDict:
    """Return *notification* with an id of its own and the time *now*, written as Nova writes it."""
    written = str(now.astimezone(UTC).replace(tzinfo=None))
    return {**notification, "message_id": str(uuid.uuid4()), "timestamp": written}


def _with_payload(notification: JSONDict, **changes: str) -> JSONDict:
    return {**notification, "payload": {**notification["payload"], **changes}}
