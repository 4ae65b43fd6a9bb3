"""The small real cloud of functional tests, and the recorded notifications that they send."""

from __future__ import annotations

import datetime
import json
import pathlib
import uuid
from typing import Any

from eventalarm.trial.own_cloud.programs.cloud import (
    INSTANCE,
    PROJECT,
    USER,
    Cloud,
    Spawn,
    client_for,
    make_event,
)

__all__ = [
    "INSTANCE",
    "PROJECT",
    "ROOT",
    "USER",
    "Cloud",
    "Spawn",
    "client_for",
    "load_notification",
    "make_event",
]

ROOT = pathlib.Path(__file__).parents[2]


def load_notification(name: str) -> dict[str, Any]:
    """Return a copy of a real notification with a new message id and the current time."""
    text = (ROOT / "tests" / "data" / name).read_text()
    notification: dict[str, Any] = json.loads(text)
    notification["message_id"] = str(uuid.uuid4())
    notification["timestamp"] = str(datetime.datetime.now(datetime.UTC).replace(tzinfo=None))
    return notification
