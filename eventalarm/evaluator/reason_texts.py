"""Why an event changed an alarm or did not, and why nothing was sent, as sentences for the owner. Pure."""

from __future__ import annotations

from typing import Final

from eventalarm.evaluator.decide import Reason
from eventalarm.model import ALARM, Kind

SENTENCES: Final = {
    Reason.RAISED: "The event raised the alarm.",
    Reason.REPEATED: "The alarm was raised already; its actions are repeated for each event.",
    Reason.CLEARED: "The event cleared the alarm.",
    Reason.HELD: "The clear is held for the hold_down of the rule: the alarm clears unless an event matches "
    "before it ends.",
    Reason.CONTINUED: "The event ended the hold_down of a clear: the alarm stays raised.",
    Reason.SEVERITY_CHANGED: "The event changed the severity; actions are called when the state changes.",
    Reason.LATE: "The event is late: a newer event about the object had been evaluated.",
    Reason.DELETED: "The alarm was deleted when the event was evaluated.",
    Reason.DISABLED: "The alarm was disabled when the event was evaluated.",
    Reason.MOVED: "The alarm belonged to another project when the event was evaluated.",
    Reason.BAD_RULE: "The rule of the alarm could not be evaluated.",
    Reason.NO_LONGER_MATCHES: "The event did not match the rule as it was, or cannot clear such an alarm.",
    Reason.DUPLICATE: "The event had changed the alarm before, here or in Aodh's own evaluator.",
    Reason.OUTSIDE_TIME_CONSTRAINTS: "The time was outside the time constraints of the alarm.",
    Reason.COUNTED: "The event was counted, but there were not yet enough to raise the alarm.",
    Reason.ALREADY_RAISED: "The alarm was raised on the object already, and repeat_actions is off.",
    Reason.NOT_RAISED: "The alarm was not raised on the object, so there was nothing to clear.",
    Reason.TOO_MANY_OBJECTS: "The alarm is raised on the maximum number of objects.",
}


def why_unsent(kind: Kind, current: str, inhibited_by: str | None) -> str:
    """Return a sentence about a transition for which no action was called.

    :param current: the state of the alarm after the transition.
    :param inhibited_by: the session of maintenance that held the notification back.
    """
    if kind is Kind.LATE:
        return SENTENCES[Reason.LATE]
    if inhibited_by is not None:
        return f"Nothing was sent because of the maintenance session {inhibited_by}."
    if kind is Kind.CHANGED:
        return "Nothing was sent: the alarm stayed raised, and repeat_actions is off."
    if kind is Kind.CLEARED and current == ALARM:
        return "Nothing was sent: the alarm is still raised on other objects."
    return f"Nothing was sent: the alarm was in the state {current} already, or had no action for it."
