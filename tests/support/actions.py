"""Attempts to call actions of other schemes than HTTP, with the options that Aodh has."""

from __future__ import annotations

import asyncio
import json

from aodh import keystone_client
from aodh import opts as aodh_opts
from keystoneauth1 import loading
from oslo_config import cfg

from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.base import Sender
from eventalarm.exceptions import DeliveryError
from eventalarm.model import Delivery
from tests.support.helpers import WebhookSink

OPTIONS = DeliveryOptions(total_timeout=5.0, plugin_threads=2)


def aodh_options() -> cfg.ConfigOpts:
    """Return the options of Aodh and of its credentials."""
    conf = cfg.ConfigOpts()
    for group, opts in aodh_opts.list_opts():
        conf.register_opts(list(opts), group=None if group == "DEFAULT" else group)
    keystone_client.register_keystoneauth_opts(conf)
    conf([])
    conf.register_opts(loading.get_auth_plugin_conf_options("password"), group="service_credentials")
    return conf


def attempt(sender: Sender, item: Delivery) -> int | DeliveryError | None:
    """Return what one attempt returned, or the DeliveryError it raised."""

    async def run() -> int | DeliveryError | None:
        try:
            return await sender.send(item)
        except DeliveryError as exc:
            return exc
        finally:
            await sender.close()

    return asyncio.run(run())


def failure(sender: Sender, item: Delivery) -> DeliveryError:
    """Return the error of one attempt, which must fail."""
    error = attempt(sender, item)
    assert isinstance(error, DeliveryError)
    return error


def keystone(sink: WebhookSink, conf: cfg.ConfigOpts, status: int = 201) -> None:
    """Make *sink* answer as Keystone too."""
    expires = "2099-01-01T00:00:00.000000Z"
    token = {
        "token": {"expires_at": expires, "issued_at": expires, "methods": ["password"], "user": {"id": "u"}}
    }
    version = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": sink.url("/v3/")}]}
    versions = json.dumps({"version": version}).encode()
    headers = {"Content-Type": "application/json"}
    sink.behave("/v3", body=versions, headers=headers)
    sink.behave("/v3/", body=versions, headers=headers)
    token_headers = {**headers, "X-Subject-Token": "token-of-the-trust"}
    sink.behave("/v3/auth/tokens", statuses=[status], body=json.dumps(token).encode(), headers=token_headers)
    for name, value in {"auth_url": sink.url("/v3"), "username": "aodh", "password": "pw"}.items():
        conf.set_override(name, value, group="service_credentials")
    conf.set_override("user_domain_id", "default", group="service_credentials")
