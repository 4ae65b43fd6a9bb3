"""``/v1/events``: the recorded events of a project, and what they did to its alarms."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from typing import Any, Final

import falcon

from eventalarm.evaluator.decide import Reason
from eventalarm.evaluator.reason_texts import SENTENCES
from eventalarm.http.parameters import moment
from eventalarm.http.responses import plain
from eventalarm.ingest import ingest_policies
from eventalarm.ingest.events import Events
from eventalarm.ingest.listing import Listing
from eventalarm.ingest.project_scope import ProjectScope
from eventalarm.model import JSONDict
from eventalarm.storage.column_types import clean
from eventalarm.storage.database import Database
from eventalarm.storage.recorded_event_pages import (
    EventSelection,
    RecordedEvent,
    RecordedEventPages,
    StoredTransition,
)
from eventalarm.storage.recorded_events import RecordedDecision

NOT_FOUND: Final = "the project has no recorded event of that id; [eventalarm] record_events says which are"
READ: Final = ingest_policies.EVENT_READ


@dataclasses.dataclass(frozen=True)
class EventContext(ProjectScope):
    """What the resources use; *database* is opened on first use."""

    database: Callable[[], Database]
    page_size: int

    def pages(self) -> RecordedEventPages:
        """Return the recorded events of the database."""
        return RecordedEventPages(self.database())

    def find(self, req: falcon.Request, event_id: str) -> tuple[RecordedEvent, JSONDict]:
        """Return the event of a request, with its body, if the caller may read it.

        :raises falcon.HTTPForbidden: when the policy does not allow it.
        :raises falcon.HTTPNotFound: when the project has none of that id.
        """
        found = self.pages().get(clean(event_id), self.visible_project(req, READ))
        if found is None:
            raise falcon.HTTPNotFound(description=NOT_FOUND)
        return found


class AllEvents:
    """The resource of all events: *reports* accepts new ones, recorded ones are listed."""

    def __init__(self, reports: Events, context: EventContext) -> None:
        self._reports = reports
        self._context = context
        self._listing = Listing(context.page_size, str, shown)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Accept events."""
        self._reports.on_post(req, resp)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return a page of recorded events, the newest first."""
        context = self._context
        wanted = EventSelection(
            project_id=context.listed_project(req, READ),
            event_type=clean(req.get_param("event_type") or ""),
            managed_object=clean(req.get_param("managed_object") or ""),
            since=moment(req, "since"),
            until=moment(req, "until"),
        )
        self._listing.respond(req, resp, functools.partial(context.pages().page, wanted))


class OneEvent:
    """The resource of one recorded event."""

    def __init__(self, context: EventContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response, event_id: str) -> None:
        """Return the event with its body, and what it did to alarms."""
        event, body = self._context.find(req, event_id)
        pages = self._context.pages()
        results = pages.led_to(event)
        names = pages.names(one.alarm_id for one in results.decisions)
        resp.text = json.dumps(
            shown(event)
            | {
                "event": body,
                "transitions": [shown_transition(one) for one in results.transitions],
                "decisions": [
                    {"alarm_name": names.get(one.alarm_id)} | shown_decision(one) for one in results.decisions
                ],
            }
        )


def shown(event: RecordedEvent) -> JSONDict:
    """Return an event as clients see it, without its body."""
    fields = plain(event)
    return {"event_id": fields.pop("record_id")} | fields | {"led_to": dict(event.led_to)}


def shown_transition(one: StoredTransition) -> JSONDict:
    """Return a transition as clients see it."""
    fields: dict[str, Any] = plain(one)
    for name in ("message_id", "project_id", "event_time", "event_type"):
        del fields[name]
    return fields


def shown_decision(one: RecordedDecision) -> JSONDict:
    """Return a decision as clients see it, with a sentence about its reason."""
    fields = plain(one)
    del fields["record_id"]
    return fields | {"text": SENTENCES[Reason(one.reason)]}
