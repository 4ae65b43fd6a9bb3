"""Which resources are in maintenance while a batch is evaluated, and what is notified all the same. Pure."""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any, Final

from eventalarm.evaluator.options import NeverInhibited, ResourceOf, none_of_them
from eventalarm.model import TIMER_EVENT_TYPE, Event


@dataclasses.dataclass(frozen=True, slots=True)
class Inhibitions:
    """``sessions``: the session of maintenance that inhibits a resource, by its id."""

    sessions: Mapping[str, str]
    never: NeverInhibited = none_of_them

    def __bool__(self) -> bool:
        return bool(self.sessions)

    def of(self, resource: str, event: Event, rule: Mapping[str, Any]) -> str | None:
        """Return the session that inhibits an alarm that *event* raises on *resource*, or None.

        The event of a timer stands for those that its *rule* names.
        """
        session = self.sessions.get(resource)
        if session is None:
            return None
        by_timer = event.event_type.startswith(TIMER_EVENT_TYPE)
        about = str(rule.get("event_type") or "") if by_timer else event.event_type
        return None if self.never(about) else session


# A rule with which ``resource_of`` names the resource of the event, as its group does not.
OF_EVENT: Final[Mapping[str, Any]] = {"group_by": [""]}


def resources_of(about: Iterable[tuple[str, Event]], resource_of: ResourceOf) -> set[str]:
    """Return all that the resources of alarms may be, from pairs of their managed object and event.

    Their rules are not known yet: with ``group_by``, a part of the managed object may name the resource, or
    else the event does.
    """
    found: set[str] = set()
    events: dict[int, Event] = {}
    for managed_object, event in about:
        found.add(managed_object)
        events[id(event)] = event
        if "/" in managed_object:
            found.update(map(urllib.parse.unquote, managed_object.split("/")))
    found.update(filter(None, (resource_of(OF_EVENT, "", event) for event in events.values())))
    return found


NO_INHIBITIONS: Final = Inhibitions({})
