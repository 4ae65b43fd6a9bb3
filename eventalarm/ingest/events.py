"""``POST /v1/events``: publishes events and responds once the broker has confirmed them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import falcon

from eventalarm.exceptions import MessageTooLarge, PublishError
from eventalarm.http.auth import Guard, caller_of
from eventalarm.http.requests import read_json
from eventalarm.ingest import ingest_policies
from eventalarm.ingest.reading import SIZE_HINT
from eventalarm.model import JSONDict
from eventalarm.publisher.codec import Encoded
from eventalarm.publisher.sending import BrokerStatus, Send, make_batches, send_batches

LOG = logging.getLogger(__name__)


class Refused(PublishError):
    """An event is too large for the broker, even alone and without its raw part."""

    def __init__(self, message_id: str) -> None:
        super().__init__(f"event {message_id} is larger than the broker accepts")
        self.message_id = message_id


class Gateway:
    """Publishes events; safe to use from many threads.

    While the broker is unavailable, one caller at a time tries it; the others get an error without waiting,
    so that they do not use up the threads of the service.
    """

    def __init__(self, send: Send, max_message_size: int, status: BrokerStatus) -> None:
        self._send = send
        self._max_size = max_message_size
        self._status = status
        self._probe = threading.Lock()
        self._away = False

    def publish(self, events: Sequence[Encoded]) -> None:
        """Return when the broker has confirmed all of *events*.

        :raises PublishError: when it has not; some of them may have reached it.
        :raises Refused: when one of them is too large for it.
        """
        if not self._away:
            self._hand_over(events)
            return
        if not self._probe.acquire(blocking=False):
            raise PublishError("the broker is unavailable")
        try:
            self._hand_over(events)
        finally:
            self._probe.release()

    def _hand_over(self, events: Sequence[Encoded]) -> None:
        try:
            send_batches(make_batches(events, self._max_size), self._send_one)
        except Refused:
            self._away = False
            raise
        except PublishError as exc:
            self._away = True
            self._status.lost(exc, "Requests are answered with 503.")
            raise
        self._away = False
        self._status.regained()

    def _send_one(self, bodies: list[JSONDict]) -> None:
        try:
            self._send(bodies)
        except MessageTooLarge as exc:
            if len(bodies) == 1 and not bodies[0].get("raw"):
                raise Refused(str(bodies[0]["message_id"])) from exc
            raise


class Events:
    """The resource of one form of events.

    *read* returns the events of a request's body; *max_body* is in bytes, *retry_after* in seconds.
    """

    def __init__(
        self,
        guard: Guard,
        read: Callable[[Any], list[Encoded]],
        gateway: Gateway,
        *,
        max_body: int,
        retry_after: int,
    ) -> None:
        self._guard = guard
        self._read = read
        self._gateway = gateway
        self._max_body = max_body
        self._retry_after = retry_after

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return 202 with the ids of the events once the broker has confirmed all of them."""
        self._guard.require(caller_of(req), ingest_policies.INGEST)
        events = self._read(read_json(req, self._max_body, size_hint=SIZE_HINT))
        try:
            self._gateway.publish(events)
        except Refused as exc:
            raise falcon.HTTPContentTooLarge(
                description=f"{exc}; the events before it in this request were accepted"
            ) from exc
        except PublishError as exc:
            LOG.debug("%d events were not published: %s", len(events), exc)
            raise falcon.HTTPServiceUnavailable(
                description="the message broker is not accepting events; send the same request again: "
                "events that it had already accepted are not evaluated twice",
                retry_after=self._retry_after,
            ) from exc
        resp.status = falcon.HTTP_202
        resp.text = json.dumps({"accepted": len(events), "message_ids": [one.message_id for one in events]})
