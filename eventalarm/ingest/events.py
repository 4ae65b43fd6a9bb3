"""``POST /v1/events``: publishes events and responds once the broker has confirmed them."""

from __future__ import annotations

import json
import logging

import falcon

from eventalarm.exceptions import PublishError
from eventalarm.http.auth import Guard, caller_of
from eventalarm.http.requests import read_json
from eventalarm.ingest import ingest_policies
from eventalarm.ingest.gateway import Gateway, Refused
from eventalarm.ingest.reading import SIZE_HINT, EventReader

LOG = logging.getLogger(__name__)


class Events:
    """The resource; *max_body* is in bytes, *retry_after* in seconds."""

    def __init__(
        self, guard: Guard, reader: EventReader, gateway: Gateway, *, max_body: int, retry_after: int
    ) -> None:
        self._guard = guard
        self._reader = reader
        self._gateway = gateway
        self._max_body = max_body
        self._retry_after = retry_after

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return 202 with the ids of the events once the broker has confirmed all of them."""
        self._guard.require(caller_of(req), ingest_policies.INGEST)
        events = self._reader.events(read_json(req, self._max_body, size_hint=SIZE_HINT))
        try:
            self._gateway.publish(events)
        except Refused as exc:
            raise falcon.HTTPContentTooLarge(
                description=f"{exc}; the events before it in this request were accepted"
            ) from exc
        except PublishError as exc:
            LOG.debug("%d events were not accepted: %s", len(events), exc)
            raise falcon.HTTPServiceUnavailable(
                description="the message broker is not accepting events; send the same request again: "
                "events that it had already accepted are not evaluated twice",
                retry_after=self._retry_after,
            ) from exc
        resp.status = falcon.HTTP_202
        resp.content_type = falcon.MEDIA_JSON
        resp.text = json.dumps({"accepted": len(events), "message_ids": [one.message_id for one in events]})
