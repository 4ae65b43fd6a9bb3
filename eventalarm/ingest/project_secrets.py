"""``/v1/secret`` and ``/v1/keys``: the secret that signs the webhooks of a project, and public keys."""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
from collections.abc import Callable
from typing import Final

import falcon

from eventalarm.delivery.senders.signer import close_secret
from eventalarm.delivery.signatures import SigningKeys, new_secret
from eventalarm.http.auth import Guard, caller_of
from eventalarm.http.openapi import Schemas
from eventalarm.http.requests import read_json
from eventalarm.http.responses import BadBody
from eventalarm.ingest import ingest_policies
from eventalarm.ingest.sessions import time_or_none
from eventalarm.log_fields import fields
from eventalarm.storage.database import Database
from eventalarm.storage.project_secrets import ProjectSecret, ProjectSecrets
from eventalarm.vault import OPTION, Vault

LOG = logging.getLogger(__name__)

NOT_FOUND: Final = "the project has no signing secret; create one with POST /v1/secret"
EXISTS: Final = "the project has a signing secret; replace it with POST /v1/secret/rotate"


@dataclasses.dataclass(frozen=True)
class SecretContext:
    """What the resources use; *database* is opened on first use.

    ``overlap`` is how long a replaced secret stays valid unless the request says otherwise, in seconds;
    ``max_body`` is in bytes.
    """

    guard: Guard
    schemas: Schemas
    database: Callable[[], Database]
    vault: Vault
    overlap: int
    max_body: int

    def project_of(self, req: falcon.Request) -> str:
        """Return the caller's project.

        :raises falcon.HTTPForbidden: when the policy does not allow the request, or there is no project.
        """
        caller = caller_of(req)
        self.guard.require(caller, ingest_policies.SIGNING)
        if not caller.project_id:
            raise falcon.HTTPForbidden(description="the token is not scoped to a project")
        return caller.project_id

    def secrets(self) -> ProjectSecrets:
        """Return the secrets in the database."""
        return ProjectSecrets(self.database())

    def closed(self, project_id: str, secret: str) -> str:
        """Return *secret* encrypted.

        :raises falcon.HTTPServiceUnavailable: when no key is set.
        """
        if not self.vault.usable:
            description = f"this service stores no secrets: its operator must set {OPTION}"
            raise falcon.HTTPServiceUnavailable(description=description)
        return close_secret(self.vault, project_id, secret)


class ProjectSecretResource:
    """The secret of the caller's project."""

    def __init__(self, context: SecretContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return what is known of the secret, without its value."""
        found = self._context.secrets().get(self._context.project_of(req))
        if found is None:
            raise falcon.HTTPNotFound(description=NOT_FOUND)
        _answer(resp, found)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Create the secret and return it with its value."""
        project_id, secret = self._context.project_of(req), new_secret()
        closed = self._context.closed(project_id, secret)
        made = self._context.secrets().add(project_id, closed)
        if made is None:
            raise falcon.HTTPConflict(description=EXISTS)
        _report("created", caller_of(req).user_id, project_id)
        resp.status = falcon.HTTP_201
        _answer(resp, made, secret)


class SecretRotation:
    """The replacement of the secret of the caller's project."""

    def __init__(self, context: SecretContext) -> None:
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Replace the secret and return the new one with its value."""
        project_id, secret = self._context.project_of(req), new_secret()
        body = read_json(req, self._context.max_body)
        if errors := self._context.schemas.errors("SecretRotation", body):
            raise BadBody(errors)
        overlap = datetime.timedelta(seconds=body.get("overlap", self._context.overlap))
        closed = self._context.closed(project_id, secret)
        made = self._context.secrets().rotate(project_id, closed, overlap)
        if made is None:
            raise falcon.HTTPNotFound(description=NOT_FOUND)
        _report("rotated", caller_of(req).user_id, project_id)
        _answer(resp, made, secret)


def _report(what: str, user_id: str, project_id: str) -> None:
    about = fields(user_id=user_id, project_id=project_id)
    LOG.info("User %s %s the signing secret of project %s", user_id, what, project_id, extra=about)


class PublicKeys:
    """The public keys of the deployment."""

    def __init__(self, keys: SigningKeys) -> None:
        self._text = json.dumps({"keys": [{"algorithm": "ed25519", "key": key} for key in keys.public]})

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the keys; anybody may read them."""
        resp.text = self._text


def _answer(resp: falcon.Response, found: ProjectSecret, secret: str = "") -> None:
    body = {
        "project_id": found.project_id,
        "created_at": found.created_at.isoformat(),
        "previous_expires_at": time_or_none(found.previous_expires_at),
    }
    resp.cache_control = ["no-store"]
    resp.text = json.dumps(body | ({"secret": secret} if secret else {}))
