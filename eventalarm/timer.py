"""What happens by itself to an alarm on a managed object, and when: the row of a timer as plain data."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from typing import Final

from eventalarm.model import OBJECT_NAMESPACE, JSONDict

# What the type of an event that a timer makes up begins with; the kind of the timer follows.
EVENT_TYPE: Final = "eventalarm.timer."


class TimerKind(enum.StrEnum):
    """Which time of a rule is awaited."""

    CLEAR_AFTER = "clear_after"
    ABSENCE = "absence"
    HOLD_DOWN = "hold_down"


@dataclasses.dataclass(frozen=True, slots=True)
class Timer:
    """One timer. Times are by the database's clock.

    It counts from ``armed_at`` and fires at ``due_at``; None: it waits for nothing at present. ``version`` is
    that of the definition that it was armed for. ``event`` is the body of the event that is told when it
    fires; without one an event is made up.
    """

    alarm_id: str
    managed_object: str
    kind: TimerKind
    version: datetime.datetime
    armed_at: datetime.datetime
    due_at: datetime.datetime | None
    event: JSONDict | None = None

    @property
    def timer_id(self) -> str:
        """The key of the row."""
        return timer_id(self.alarm_id, self.managed_object, self.kind)


def timer_id(alarm_id: str, managed_object: str, kind: TimerKind) -> str:
    """Return the one id that a timer of this kind has on this object of the alarm."""
    return str(uuid.uuid5(OBJECT_NAMESPACE, f"{kind.value}\n{alarm_id}\n{managed_object}"))
