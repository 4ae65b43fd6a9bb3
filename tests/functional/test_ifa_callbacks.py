"""Callbacks of subscribers: credentials, the test of the callback, refused URIs, the egress filter."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography import fernet

from eventalarm.storage import database as storage
from eventalarm.storage import tables
from tests.support.helpers import WebhookSink
from tests.support.listening import listening
from tests.support.subscribers import (
    SUBSCRIPTIONS,
    World,
    bound,
    fault,
)


def test_credentials_are_used_and_a_refused_token_is_replaced(
    lite_database: storage.Database, webhook_sink: WebhookSink
) -> None:
    world = World(lite_database, webhook_sink, credentials_key=fernet.Fernet.generate_key().decode())
    token = {"access_token": "first", "token_type": "Bearer", "expires_in": 3600}
    webhook_sink.behave("/token", body=json.dumps(token).encode())
    client = {
        "clientId": "vim:1@op/x",
        "clientPassword": "a secret+%ü",
        "tokenEndpoint": webhook_sink.url("/token"),
    }
    oauth = {"authType": ["OAUTH2_CLIENT_CREDENTIALS"], "paramsOauth2ClientCredentials": client}
    world.subscribe("/oauth", authentication=oauth)
    basic = {"authType": ["BASIC"], "paramsBasic": {"userName": "vim", "password": "päss"}}
    world.subscribe("/basic", authentication=basic)
    for n in range(3):
        world.api.alarm(bound(f"vm-{n}"))
    with listening(world.api.conf, lite_database) as world.listener:
        for n in range(2):
            world.listener.process(fault(f"vm-{n}"))
            world.received("/oauth", n + 1)
        # One token for the test of the callback, one for the notifications: by different processes.
        of_test, asked = world.posts("/token")
        assert of_test.headers["Authorization"] == asked.headers["Authorization"]
        encoded = base64.b64encode(b"vim%3A1%40op%2Fx:a+secret%2B%25%C3%BC").decode()
        assert asked.headers["Authorization"] == f"Basic {encoded}"
        assert asked.body == b"grant_type=client_credentials"
        assert {one.headers["Authorization"] for one in world.posts("/oauth")} == {"Bearer first"}
        webhook_sink.behave("/oauth", statuses=[401, 204])
        webhook_sink.behave("/token", body=json.dumps({"access_token": "second"}).encode())
        world.listener.process(fault("vm-2"))
        world.received("/oauth", 4)
        used = [one.headers["Authorization"] for one in world.posts("/oauth")][2:]
        assert used == ["Bearer first", "Bearer second"]
        world.received("/basic", 3)
        expected = "Basic dmltOnDDpHNz"
        assert {one.headers["Authorization"] for one in world.posts("/basic")} == {expected}
        world.quiet()


def test_the_callback_test_is_sent_like_a_notification(
    lite_database: storage.Database, webhook_sink: WebhookSink
) -> None:
    world = World(lite_database, webhook_sink, credentials_key=fernet.Fernet.generate_key().decode())
    webhook_sink.behave("/token", body=json.dumps({"access_token": "t"}).encode())
    client = {"clientId": "vim", "clientPassword": "p", "tokenEndpoint": webhook_sink.url("/token")}
    ways: dict[str, Any] = {
        "/none": None,
        "/basic": {"authType": ["BASIC"], "paramsBasic": {"userName": "vim", "password": "päss"}},
        "/oauth": {
            "authType": ["OAUTH2_CLIENT_CREDENTIALS"],
            "paramsOauth2ClientCredentials": client,
        },
        # If both are offered, both requests choose the same.
        "/both": {
            "authType": ["BASIC", "OAUTH2_CLIENT_CREDENTIALS"],
            "paramsBasic": {"userName": "vim", "password": "p"},
            "paramsOauth2ClientCredentials": client,
        },
    }
    for path, secret in ways.items():
        world.subscribe(path, **({"authentication": secret} if secret else {}))
    world.api.alarm(bound("vm-0"))
    with listening(world.api.conf, lite_database) as world.listener:
        world.listener.process(fault("vm-0"))
        for path in ways:
            world.received(path)
        world.quiet()
    of_post = {"Content-Type", "Content-Length", "X-Eventalarm-Delivery-Id"}
    for path, secret in ways.items():
        get, post = webhook_sink.at(path)
        assert (get.method, post.method) == ("GET", "POST")
        assert set(post.headers) - set(get.headers) == of_post
        assert set(get.headers) <= set(post.headers)
        same = set(get.headers) - {"x-openstack-request-id"}
        assert {name: get.headers[name] for name in same} == {name: post.headers[name] for name in same}
        assert ("Authorization" in get.headers, get.headers["Version"]) == (secret is not None, "1.3.0")


@pytest.mark.parametrize("broken", ["token", "callback", "slow"])
def test_a_consumer_that_takes_no_token_of_ours_is_refused(
    lite_database: storage.Database, webhook_sink: WebhookSink, broken: str
) -> None:
    world = World(
        lite_database,
        webhook_sink,
        credentials_key=fernet.Fernet.generate_key().decode(),
        callback_timeout=0.5 if broken == "slow" else 5.0,
    )
    webhook_sink.behave("/token", body=b"{}" if broken == "token" else b'{"access_token": "t"}')
    webhook_sink.behave("/cb", statuses=[401] if broken == "callback" else [204])
    release = webhook_sink.hang("/token") if broken == "slow" else lambda: None
    client = {"clientId": "vim", "clientPassword": "p", "tokenEndpoint": webhook_sink.url("/token")}
    secret = {"authType": ["OAUTH2_CLIENT_CREDENTIALS"], "paramsOauth2ClientCredentials": client}
    body = {"callbackUri": webhook_sink.url("/cb"), "authentication": secret}
    answer = world.api.call("POST", SUBSCRIPTIONS, body=body)
    release()
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("uri", "remedy"),
    [
        ("http://127.0.0.1/a b", "percent-encoded"),
        (" http://127.0.0.1/a", "percent-encoded"),
        ("http://127.0.0.1/a\nb", "percent-encoded"),
        ("http://127.0.0.1/ü", "percent-encoded"),
        ("http://127.0.0.1/a#b", "fragment"),
        ("https://127.0.0.1/a?aodh-alarm-ssl-verify=no", "remove aodh-alarm-ssl-verify"),
        ("https://127.0.0.1/a?x=1&aodh-alarm-ssl-verify=", "remove aodh-alarm-ssl-verify"),
        ("https://127.0.0.1/a?aodh-alarm-ssl-verify=0", "remove aodh-alarm-ssl-verify"),
    ],
)
def test_a_callback_that_cannot_work_is_refused_with_the_remedy(
    lite_database: storage.Database, webhook_sink: WebhookSink, uri: str, remedy: str
) -> None:
    world = World(lite_database, webhook_sink, test_callback=False)
    answer = world.api.call("POST", SUBSCRIPTIONS, body={"callbackUri": uri})
    assert answer.status_code == 422
    assert remedy in answer.json["detail"]


def test_the_egress_filter_of_callbacks_also_applies_when_sending(small: World) -> None:
    subscription = small.subscribe("/nfvo")
    small.api.alarm(bound("vm-0"))
    small.api.conf.set_override("callback_deny_networks", ["127.0.0.0/8"], group="eventalarm_ifa")
    with listening(small.api.conf, small.database) as fenced:
        fenced.process(fault("vm-0"))
        small.quiet()
    table = tables.delivery
    with small.database.read() as connection:
        (row,) = connection.execute(sa.select(table).where(table.c.subscription_id == subscription))
    assert (row.state, row.error) == (
        "failed",
        "egress_denied: the address is in a network of [eventalarm_ifa] callback_deny_networks",
    )
    assert small.posts("/nfvo") == []
