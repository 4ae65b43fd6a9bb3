"""Signed webhooks: an API that makes secrets, a worker that signs with them, and the check of a consumer."""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
from collections.abc import Iterator
from typing import Any

import standardwebhooks
from aodh import keystone_client
from cryptography import fernet
from cryptography.hazmat.primitives.asymmetric import ed25519
from falcon import testing
from keystoneauth1 import loading

from eventalarm.app.build import build_sender
from eventalarm.delivery.senders import signer as signer_module
from eventalarm.delivery.worker import DeliveryWorker
from eventalarm.ifa_shim.subscriptions.build import Notifications
from eventalarm.model import UTC, Delivery
from eventalarm.storage.database import Database
from eventalarm.storage.outbox import Outbox
from eventalarm.storage.subscriptions import Subscription, Subscriptions
from tests.support.deliveries import make_delivery, sender_options
from tests.support.delivery_worker import make_worker, options
from tests.support.helpers import Received, wait_until
from tests.support.ingest_api import IngestApi

SIGNATURE_HEADERS = {"webhook-id", "webhook-timestamp", "webhook-signature"}
SEED = bytes(range(32))
SIGNING_KEY = "whsk_" + base64.b64encode(SEED).decode()
PUBLIC_KEY = (
    "whpk_"
    + base64.b64encode(
        ed25519.Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()
    ).decode()
)


def new_key() -> str:
    return fernet.Fernet.generate_key().decode()


class Signing:
    """The secrets of a deployment on *database*; *keys* is its option ``credentials_key``."""

    def __init__(self, database: Database, keys: str = "", signing_key: str = "") -> None:
        self.database = database
        self.api = IngestApi(
            "fake://", lambda: database, credentials_key=keys, signing_key=signing_key, max_body_size=4096
        )
        self.conf = sender_options()
        keystone_client.register_keystoneauth_opts(self.conf)
        group: Any = loading.get_auth_plugin_conf_options("password")
        self.conf.register_opts(group, group="service_credentials")
        self.conf.set_override("credentials_key", keys, group="eventalarm_ifa")
        self.conf.set_override("signing_key", signing_key, group="eventalarm_delivery")
        self.conf.set_override("callback_deny_networks", [], group="eventalarm_ifa")
        self.conf.set_override("deny_networks", [], group="eventalarm_delivery")
        self.conf.set_override("secret_refresh", 0.1, group="eventalarm_delivery")

    def call(
        self,
        method: str,
        path: str = "/v1/secret",
        body: Any = None,
        *,
        project: str = "p",
        roles: str = "member",
    ) -> testing.Result:
        headers = {"X-Project-Id": project, "X-User-Id": "u", "X-Roles": roles} if roles else {}
        return self.api.client.simulate_request(method, path, headers=headers, json=body)

    def create(self, project: str = "p") -> str:
        """Create the secret of a project and return its value."""
        answer = self.call("POST", project=project)
        assert answer.status_code == 201, answer.text
        return str(answer.json["secret"])

    def rotate(self, project: str = "p", **body: int) -> str:
        """Rotate the secret of a project and return its new value."""
        answer = self.call("POST", "/v1/secret/rotate", body, project=project)
        assert answer.status_code == 200, answer.text
        return str(answer.json["secret"])

    @contextlib.contextmanager
    def worker(self, **fields: Any) -> Iterator[DeliveryWorker]:
        """Run a worker with the senders of a listener."""
        signer = signer_module.from_conf(self.conf, self.database)
        subscribers = Notifications(self.conf, self.database).sender(options(), signer)
        sender = build_sender(self.conf, options(), subscribers, signer)
        worker = make_worker(Outbox(self.database), sender, [signer.run_once], **fields)
        worker.start()
        wait_until(lambda: worker.owner)
        try:
            yield worker
        finally:
            worker.stop(1.0)

    def notification(self, callback: str, project: str = "p") -> Delivery:
        """Return a notification to a new subscription of a project."""
        now = datetime.datetime.now(UTC)
        to = Subscription(f"to-{project}", project, "u", False, callback, {}, now)
        Subscriptions(self.database).add(to)
        body = json.dumps({"id": "n-1"})
        return make_delivery(callback, project_id=project, subscription_id=to.subscription_id, body=body)

    def close(self) -> None:
        self.api.close()


def valid(secret: str, request: Received) -> bool:
    """Return True if a consumer that has *secret* accepts the request."""
    try:
        standardwebhooks.Webhook(secret).verify(request.body, dict(request.headers.items()))
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


def signatures(request: Received, version: str) -> list[bytes]:
    """Return the signatures of one version."""
    listed = [one.partition(",") for one in request.headers.get("webhook-signature", "").split()]
    return [base64.b64decode(text) for name, _, text in listed if name == version]


def verify_with_public_key(key: str, request: Received) -> None:
    """Verify the only signature ``v1a`` of a request.

    :raises cryptography.exceptions.InvalidSignature: if it is not by *key*.
    """
    (signature,) = signatures(request, "v1a")
    signed = (
        f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    )
    public = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("whpk_")))
    public.verify(signature, signed)


def none_signed(request: Received) -> bool:
    return not SIGNATURE_HEADERS & {name.lower() for name in request.headers}
