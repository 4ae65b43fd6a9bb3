"""``/v1/profiles`` and ``/v1/handled``: where the time of alarms went, and what consumers add to that."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

import falcon

from eventalarm.delivery.senders.signer import open_secret
from eventalarm.delivery.signatures import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, is_signed
from eventalarm.exceptions import InvalidOption
from eventalarm.http.auth import Guard, caller_of
from eventalarm.http.openapi import Schemas
from eventalarm.http.parameters import page_size
from eventalarm.http.requests import parse_json, read_body
from eventalarm.http.responses import BadBody, FieldError
from eventalarm.ingest import ingest_policies
from eventalarm.ingest.deliveries import NOT_FOUND, READ, DeliveryContext
from eventalarm.model import Checkpoint, read_checkpoints
from eventalarm.profile.picture import as_json
from eventalarm.storage.column_types import clean
from eventalarm.storage.database import Database
from eventalarm.storage.delivery_selection import Selection
from eventalarm.storage.profiles import ProfileStore, TooManyCheckpoints
from eventalarm.storage.project_secrets import ProjectSecrets
from eventalarm.vault import Vault

LOG = logging.getLogger(__name__)

MOST: Final = 100
# Before the id of the delivery in the signed id, so that a webhook of ours is no valid request here.
SIGNED_PREFIX: Final = "handled_"
NOT_SIGNED: Final = (
    f"the signature is not valid: sign {SIGNED_PREFIX}<delivery id>, the time (within 5 minutes) and the "
    "body with the secret of the delivery's project"
)


class ProfileList:
    """The resource of all profiles."""

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the newest profiles of a project, the newest first."""
        delivery_id = clean(req.get_param("delivery_id") or "")
        wanted = Selection(
            delivery_ids=(delivery_id,) if delivery_id else (),
            project_id=self._context.project(req, READ),
            alarm_id=clean(req.get_param("alarm_id") or ""),
            profiled=True,
        )
        found = ProfileStore(self._context.database()).newest(wanted, page_size(req, MOST))
        resp.text = json.dumps([as_json(one) for one in found])


@dataclasses.dataclass(frozen=True)
class HandledContext:
    """What the resource uses; *database* is opened on first use, ``max_body`` is in bytes."""

    guard: Guard
    schemas: Schemas
    database: Callable[[], Database]
    vault: Vault
    max_body: int
    now: Callable[[], float] = time.time

    def project_of_signature(self, headers: Mapping[str, str], content: bytes, delivery_id: str) -> str:
        """Return the project of a delivery whose secret signed a request.

        An unknown delivery, a project without a secret and a wrong signature have one answer: a caller
        that does not know the secret learns nothing.

        :raises falcon.HTTPUnauthorized: in each of these cases.
        """
        database = self.database()
        project_id = ProfileStore(database).project_of(delivery_id)
        row = ProjectSecrets(database).get(project_id) if project_id else None
        named = headers[ID_HEADER] == f"{SIGNED_PREFIX}{delivery_id}"
        if project_id and row is not None and named:
            try:
                texts = row.valid_at(database.about_now())
                secrets = [open_secret(self.vault, project_id, text) for text in texts]
            except InvalidOption as exc:
                LOG.warning("The signing secret of project %s cannot be decrypted: %s", project_id, exc)
                secrets = []
            if is_signed(headers, content, secrets, self.now()):
                return project_id
        raise falcon.HTTPUnauthorized(description=NOT_SIGNED, challenges=["None"])


class Handled:
    """The resource by which consumers add checkpoints to the profiles of deliveries."""

    def __init__(self, context: HandledContext) -> None:
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Add the checkpoints; the caller is a member of the project, or knows its secret."""
        context = self._context
        if caller_of(req) is not None:
            context.guard.require(caller_of(req), ingest_policies.HANDLED)
        content = read_body(req, context.max_body)
        body = parse_json(content)
        if errors := context.schemas.errors("Handled", body):
            raise BadBody(errors)
        checkpoints = _checkpoints(body["checkpoints"])
        delivery_id = clean(body["delivery_id"])
        try:
            project_id = self._project(req, content, delivery_id)
            done = ProfileStore(context.database()).add_handled(delivery_id, project_id, checkpoints)
        except TooManyCheckpoints as exc:
            raise BadBody([FieldError("/checkpoints", str(exc), "repeat names, or leave some out")]) from exc
        if done is None:
            raise falcon.HTTPNotFound(description=NOT_FOUND)
        resp.text = json.dumps({"recorded": done})

    def _project(self, req: falcon.Request, content: bytes, delivery_id: str) -> str:
        caller = caller_of(req)
        if caller is None:
            names = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
            headers = {name: req.get_header(name) or "" for name in names}
            return self._context.project_of_signature(headers, content, delivery_id)
        if not caller.project_id:
            raise falcon.HTTPForbidden(description="the token is not scoped to a project")
        return caller.project_id


def _checkpoints(value: object) -> tuple[Checkpoint, ...]:
    try:
        return read_checkpoints(value)
    except ValueError as exc:
        remedy = "give a list of objects {name, time} with an ISO 8601 time"
        raise BadBody([FieldError("/checkpoints", str(exc)[:200], remedy)]) from exc
