"""``/v1/deliveries``: what was sent for a project, and sending it again."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import logging
import uuid
from collections.abc import Callable, Collection
from typing import Final

import falcon

from eventalarm.delivery import action
from eventalarm.http.auth import caller_of
from eventalarm.http.openapi import Schemas
from eventalarm.http.parameters import BadParameter, moment, words
from eventalarm.http.requests import read_json
from eventalarm.http.responses import BadBody, FieldError, plain
from eventalarm.ingest import ingest_policies
from eventalarm.ingest.listing import Listing
from eventalarm.ingest.project_scope import ProjectScope
from eventalarm.ingest.reading import A_TIME
from eventalarm.log_fields import fields
from eventalarm.model import DeliveryState, JSONDict, parse_time, shown_reason
from eventalarm.storage.attempts import StoredAttempt
from eventalarm.storage.column_types import clean
from eventalarm.storage.database import Database
from eventalarm.storage.delivery_pages import DeliveryPages
from eventalarm.storage.delivery_queries import DeliveryQueries
from eventalarm.storage.delivery_replays import DeliveryReplays, StillOwed, TooMany
from eventalarm.storage.delivery_selection import Selection, StoredDelivery

LOG = logging.getLogger(__name__)

NOT_FOUND: Final = "the project has no delivery of that id"
NO_PLACE: Final = "write scheme://host:port"
READ: Final = ingest_policies.DELIVERY_READ
SEND: Final = ingest_policies.DELIVERY_SEND


@dataclasses.dataclass(frozen=True)
class DeliveryContext(ProjectScope):
    """What the resources use; *database* is opened on first use, ``max_body`` is in bytes."""

    schemas: Schemas
    database: Callable[[], Database]
    page_size: int
    max_replay: int
    attempts_kept: int
    max_body: int
    operational_events: Collection[str]

    def pages(self) -> DeliveryPages:
        """Return the deliveries of the database."""
        return DeliveryPages(self.database())

    def find(self, delivery_id: str, project_id: str | None) -> tuple[StoredDelivery, list[StoredAttempt]]:
        """Return a delivery of a project, or of any if None, with its attempts.

        :raises falcon.HTTPNotFound: when the project has none of that id.
        """
        found = self.pages().get(clean(delivery_id), project_id)
        if found is None:
            raise falcon.HTTPNotFound(description=NOT_FOUND)
        return found


class DeliveryList:
    """The resource of all deliveries."""

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context
        self._listing = Listing(context.page_size, int, shown)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return a page of deliveries, the newest first."""
        context = self._context
        wanted = _selection(req, context.listed_project(req, READ))
        self._listing.respond(req, resp, functools.partial(context.pages().page, wanted))


class OneDelivery:
    """The resource of one delivery."""

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response, delivery_id: str) -> None:
        """Return the delivery with its attempts."""
        found, made = self._context.find(delivery_id, self._context.visible_project(req, READ))
        resp.text = json.dumps(shown(found) | {"attempt_details": [_shown_attempt(one) for one in made]})


class DeliveryRetry:
    """The resource that makes a failed delivery due again."""

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response, delivery_id: str) -> None:
        """Make the delivery due, under its id, and return it."""
        context = self._context
        found, _ = context.find(delivery_id, context.visible_project(req, SEND))
        queries = DeliveryQueries(context.database(), attempts_kept=context.attempts_kept)
        if not queries.retry(Selection(delivery_ids=(found.delivery_id,), project_id=found.project_id)):
            raise falcon.HTTPConflict(
                description=f"the delivery is {found.state}: failed ones are retried, delivered ones replayed"
            )
        user_id = caller_of(req).user_id
        about = fields(delivery_id=found.delivery_id, project_id=found.project_id, user_id=user_id)
        LOG.info("Delivery %s is retried for user %s", found.delivery_id, user_id, extra=about)
        resp.status = falcon.HTTP_202
        resp.text = json.dumps(shown(context.find(found.delivery_id, found.project_id)[0]))


class DeliveryReplay:
    """The resource that sends the deliveries of a time again."""

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Add the deliveries of the replay."""
        context = self._context
        project_id = context.project(req, SEND)
        body = read_json(req, context.max_body)
        if errors := context.schemas.errors("Replay", body):
            raise BadBody(errors)
        replay_id, wanted = body.get("replay_id") or str(uuid.uuid4()), _replayed(body, project_id)
        try:
            done = DeliveryReplays(context.database(), context.max_replay).replay(replay_id, wanted)
        except TooMany as exc:
            remedy = "choose a shorter time ([eventalarm_ingest] max_replay is the limit)"
            raise BadBody([FieldError("/since", str(exc), remedy)]) from exc
        except StillOwed as exc:
            raise falcon.HTTPConflict(description=f"{exc}; replay again once they are sent") from exc
        LOG.info(
            "Replay %s of %d deliveries of project %s for user %s",
            replay_id,
            done.deliveries,
            project_id,
            caller_of(req).user_id,
            extra=fields(project_id=project_id, user_id=caller_of(req).user_id),
        )
        resp.status = falcon.HTTP_202
        resp.text = json.dumps({"replay_id": replay_id, **dataclasses.asdict(done)})


def _selection(req: falcon.Request, project_id: str) -> Selection:
    """Return the filters of a request for a page.

    :raises BadParameter: when one of them is invalid.
    """
    wanted = req.get_param("destination") or ""
    if wanted and not action.destination(wanted):
        raise BadParameter(f"destination is not a URL; {NO_PLACE}")
    return Selection(
        states=tuple(sorted(state.value for state in words(req, "state", DeliveryState))),
        project_id=project_id,
        alarm_id=clean(req.get_param("alarm_id") or ""),
        destination=action.destination(wanted),
        replay_id=clean(req.get_param("replay_id") or ""),
        since=moment(req, "since"),
        until=moment(req, "until"),
    )


def _replayed(body: JSONDict, project_id: str) -> Selection:
    """Return the filters of a replay.

    :raises BadBody: when one of them is invalid.
    """
    errors: list[FieldError] = []
    times: dict[str, datetime.datetime] = {}
    for name in ("since", "until"):
        if name not in body:
            continue
        try:
            times[name] = parse_time(body[name].strip())
        except ValueError as exc:
            errors.append(FieldError(f"/{name}", str(exc), A_TIME))
    destination = action.destination(body.get("destination", ""))
    if "destination" in body and not destination:
        errors.append(FieldError("/destination", "not a URL", NO_PLACE))
    if errors:
        raise BadBody(errors)
    return Selection(
        states=(body["state"],) if "state" in body else (),
        project_id=project_id,
        alarm_id=clean(body.get("alarm_id", "")),
        destination=destination,
        since=times["since"],
        until=times.get("until"),
    )


def shown(delivery: StoredDelivery) -> JSONDict:
    """Return a delivery as clients see it: its action without secrets."""
    fields = plain(delivery)
    del fields["seq"]
    return fields | {
        "action": action.masked(delivery.action) or None,
        "error": shown_reason(delivery.error) or None,
    }


def _shown_attempt(one: StoredAttempt) -> JSONDict:
    return plain(one) | {"error": shown_reason(one.error) or None}
