"""Signatures of webhooks: every scheme, rotation, secrets at rest, and the API that makes them."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import runpy
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.model import Delivery
from eventalarm.storage import database as storage
from eventalarm.storage import tables
from tests.functional.test_ifa_client import identity
from tests.support import openstack_client
from tests.support.actions import keystone
from tests.support.builders import PROJECT
from tests.support.deliveries import make_delivery
from tests.support.delivery_worker import ID, all_are, rows, send, states
from tests.support.helpers import WebhookSink, wait_until
from tests.support.ifa_server import served
from tests.support.signing import (
    PUBLIC_KEY,
    SIGNING_KEY,
    Signing,
    new_key,
    none_signed,
    signatures,
    valid,
    verify_with_public_key,
)

ROOT = pathlib.Path(__file__).parents[2]
Deploy = Callable[..., Signing]


@pytest.fixture
def deploy(lite_database: storage.Database) -> Iterator[Deploy]:
    """Return deployments on one database, with any keys."""
    made: list[Signing] = []

    def begin(keys: str, signing_key: str = "") -> Signing:
        made.append(Signing(lite_database, keys, signing_key))
        return made[-1]

    yield begin
    for one in made:
        one.close()


@pytest.fixture
def signing(deploy: Deploy) -> Signing:
    return deploy(new_key())


def stored(database: storage.Database) -> Any:
    with database.read() as connection:
        return connection.execute(sa.select(tables.project_secret)).one()


def actions(sink: WebhookSink) -> dict[str, str]:
    """Return the action of each scheme by its path."""
    return {
        "/http": sink.url("/http"),
        "/trust": sink.url("/trust").replace("http://", "trust+http://trust-id@"),
        "/sol003": f"sol003+{sink.url('/sol003')}",
        "/tacker": f"tacker+{sink.url('/tacker')}?fault_id=1111&fault_id=2222",
        "/cloudevents": f"cloudevents+{sink.url('/cloudevents')}",
    }


def test_every_scheme_is_signed(deploy: Deploy, webhook_sink: WebhookSink) -> None:
    """Red when a sender bypasses the signer, or another project's secret signs."""
    signing = deploy(new_key(), SIGNING_KEY)
    keystone(webhook_sink, signing.conf)
    secret, other = signing.create(), signing.create("q")
    listed = actions(webhook_sink)
    items = [make_delivery(action) for action in listed.values()]
    items.append(signing.notification(webhook_sink.url("/subscriber")))
    without = make_delivery(webhook_sink.url("/without"), project_id="r")
    with signing.worker() as worker:
        send(worker, signing.database, [*items, without])
        wait_until(lambda: all_are(signing.database, "delivered"))
    ids = {}
    for path in (*listed, "/subscriber"):
        for request in webhook_sink.at(path):
            assert valid(secret, request), path
            assert not valid(other, request)
            assert len(signatures(request, "v1")) == 1
            verify_with_public_key(PUBLIC_KEY, request)
            ids[request.headers["webhook-id"]] = request.headers[ID]
    assert len(ids) == len(items) + 1, "the second fault of Tacker has an id of its own"
    assert {one.delivery_id for one in items} == ids.keys() & set(ids.values())
    (request,) = webhook_sink.at("/without")
    verify_with_public_key(PUBLIC_KEY, request)
    assert signatures(request, "v1") == []
    assert signing.call("GET", "/v1/keys", roles="").json == {
        "keys": [{"algorithm": "ed25519", "key": PUBLIC_KEY}]
    }


def deliver(signing: Signing, worker: Any, sink: WebhookSink, path: str, project: str = "p") -> Any:
    """Send one webhook and return its last attempt."""
    one = make_delivery(sink.url(path), project_id=project)
    send(worker, signing.database, [one])
    wait_until(lambda: states(signing.database).get(one.delivery_id) == "delivered")
    return sink.at(path)[-1]


def test_two_secrets_are_valid_during_a_rotation(signing: Signing, webhook_sink: WebhookSink) -> None:
    with signing.worker() as worker:
        assert none_signed(deliver(signing, worker, webhook_sink, "/before"))
        first = signing.create()
        wait_until(lambda: valid(first, deliver(signing, worker, webhook_sink, "/first")))
        second = signing.rotate()
        wait_until(lambda: valid(second, deliver(signing, worker, webhook_sink, "/both")))
        webhook_sink.behave("/retried", statuses=[503, 204])
        deliver(signing, worker, webhook_sink, "/retried")
        attempts = webhook_sink.at("/retried")
        assert len({one.headers["webhook-id"] for one in attempts}) == 1
        for request in attempts:
            assert len(signatures(request, "v1")) == 2
            assert valid(first, request)
            assert valid(second, request)
        third = signing.rotate(overlap=0)
        wait_until(lambda: valid(third, deliver(signing, worker, webhook_sink, "/third")))
        last = deliver(signing, worker, webhook_sink, "/third")
    assert not valid(first, last)
    assert not valid(second, last)
    assert none_signed(webhook_sink.at("/before")[0])


def test_secrets_are_encrypted_at_rest_and_never_logged(
    deploy: Deploy, webhook_sink: WebhookSink, caplog: pytest.LogCaptureFixture
) -> None:
    """Red when rows keep the value, or are not encrypted again with a new key."""
    caplog.set_level(logging.DEBUG)
    old, new = new_key(), new_key()
    signing = deploy(old)
    first, second = signing.create(), signing.rotate()
    database = signing.database
    before = stored(database)
    for number, keys in enumerate((f"{old},{new}", f"{new},{old}", new)):
        later = deploy(keys)
        with later.worker() as worker:
            if number:
                wait_until(lambda: stored(database).secret != before.secret)
                assert stored(database).previous != before.previous
            request = deliver(later, worker, webhook_sink, f"/{number}")
        assert valid(first, request)
        assert valid(second, request)
    texts = [
        str(before),
        str(stored(signing.database)),
        caplog.text,
        *map(str, rows_of_all(signing.database)),
    ]
    for secret in (first, second):
        value = secret.removeprefix("whsec_")
        assert [text for text in texts if value in text] == []


def rows_of_all(database: storage.Database) -> list[Any]:
    with database.read() as connection:
        return [connection.execute(sa.select(table)).all() for table in tables.metadata.sorted_tables]


def test_without_the_key_nothing_is_sent_unsigned(deploy: Deploy, webhook_sink: WebhookSink) -> None:
    """Red when a secret that cannot be decrypted is taken for none."""
    signing = deploy(new_key())
    secret = signing.create()
    unkeyed = Signing(signing.database)
    one = make_delivery(webhook_sink.url("/hook"))
    with unkeyed.worker() as worker:
        send(worker, signing.database, [one])

        def tried() -> bool:
            ((attempts, error),) = rows(signing.database, "attempts", "error")
            return attempts > 1 and "credentials_key" in error

        wait_until(tried)
        assert webhook_sink.requests == []
        assert none_signed(deliver(unkeyed, worker, webhook_sink, "/other", "q"))
    unkeyed.close()
    with signing.worker():
        wait_until(lambda: all_are(signing.database, "delivered"))
    (request,) = webhook_sink.at("/hook")
    assert valid(secret, request)


def test_a_row_copied_from_another_project_is_not_used(signing: Signing, webhook_sink: WebhookSink) -> None:
    signing.create("q")
    with signing.database.begin() as connection:
        connection.execute(sa.update(tables.project_secret).values(project_id="p"))
    one: Delivery = make_delivery(webhook_sink.url("/hook"))
    with signing.worker(max_attempts=2) as worker:
        send(worker, signing.database, [one])
        wait_until(lambda: all_are(signing.database, "failed"))
    assert webhook_sink.requests == []


def test_only_members_see_the_secret_of_their_own_project(signing: Signing) -> None:
    """Red with a policy that lets readers in, and when the project of a secret is not compared."""
    for method, path in (("GET", "/v1/secret"), ("POST", "/v1/secret"), ("POST", "/v1/secret/rotate")):
        assert signing.call(method, path, {}, roles="reader").status_code == 403
        assert signing.call(method, path, {}, roles="").status_code == 401
    assert signing.call("GET").status_code == 404
    assert signing.call("POST", "/v1/secret/rotate", {}).status_code == 404
    made = signing.call("POST")
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    assert made.json["secret"].startswith("whsec_")
    again = signing.call("POST")
    assert (again.status_code, "rotate" in again.json["detail"]) == (409, True)
    shown = signing.call("GET", roles="admin").json
    assert shown == {name: value for name, value in made.json.items() if name != "secret"}
    for project in ("q", "P"):
        assert signing.call("GET", project=project, roles="admin,member").status_code == 404
        assert signing.call("POST", "/v1/secret/rotate", {}, project=project).status_code == 404
    rotated = signing.call("POST", "/v1/secret/rotate", {"overlap": 60}).json
    assert rotated["secret"] != made.json["secret"]
    assert rotated["previous_expires_at"]
    for body, field in (
        ({"overlap": -1}, "/overlap"),
        ({"overlap": 1.5}, "/overlap"),
        ([], ""),
        ({"x": 1}, ""),
    ):
        refused = signing.call("POST", "/v1/secret/rotate", body)
        assert refused.status_code == 400
        assert refused.json["errors"][0]["field"] == field
        assert refused.json["errors"][0]["remedy"]
    assert signing.call("GET", "/v1/keys", roles="").json == {"keys": []}


def test_without_a_key_no_secret_is_stored(deploy: Deploy) -> None:
    refused = deploy("").call("POST")
    assert refused.status_code == 503
    assert "[eventalarm_ifa] credentials_key" in refused.json["detail"]


def test_the_commands_create_rotate_and_show(signing: Signing, monkeypatch: pytest.MonkeyPatch) -> None:
    def openstack(*words: str) -> tuple[int, Any]:
        done = openstack_client.openstack("eventalarm", "secret", *words, "-f", "json")
        return done.returncode, json.loads(done.stdout) if done.returncode == 0 else done.stderr

    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    with served(signing.api.app) as url:
        for name, value in identity(url, OS_EVENTALARM_INGEST_ENDPOINT=url).items():
            monkeypatch.setenv(name, value)
        missing = openstack("show")
        (_, made), again = openstack("create"), openstack("create")
        (_, rotated), (_, shown) = openstack("rotate", "--overlap", "60"), openstack("show")
        (_, without) = openstack("rotate")
    assert (missing[0], "create one" in missing[1]) == (1, True)
    assert (again[0], "409" in again[1]) == (1, True)
    assert (made["project_id"], made["secret"][:6]) == (PROJECT, "whsec_")
    assert shown == {name: value for name, value in rotated.items() if name != "secret"}
    assert rotated["previous_expires_at"] < without["previous_expires_at"]


def test_the_receiver_of_the_documentation_accepts_only_signed_webhooks(
    signing: Signing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", signing.create())
    receiver = runpy.run_path(str(ROOT / "doc/source/user/webhook_receiver.py"))
    with served(receiver["receive"]) as url, signing.worker() as worker:
        unsigned = urllib.request.Request(url, b"{}")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(unsigned, timeout=10)
        assert refused.value.code == 401
        one = make_delivery(f"{url}/")
        send(worker, signing.database, [one])
        wait_until(lambda: all_are(signing.database, "delivered"))
    assert capsys.readouterr().out == "disk is alarm\n"
