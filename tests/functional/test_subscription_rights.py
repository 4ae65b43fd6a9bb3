"""Who may subscribe, for how long, and what the API reveals about others."""

from __future__ import annotations

import datetime
import logging
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from aodh.keystone_client import register_keystoneauth_opts
from keystoneauth1.loading import get_auth_plugin_conf_options

from eventalarm.model import UTC
from eventalarm.storage import database as storage
from eventalarm.storage import ifa_tables, tables
from tests.support.helpers import WebhookSink, wait_until
from tests.support.ifa_api import IfaApi
from tests.support.keystone import Keystone
from tests.support.listening import listening
from tests.support.subscribers import SUBSCRIPTIONS, World, bound, fault

WEEK = 7 * 86400.0


@pytest.fixture
def world(lite_database: storage.Database, webhook_sink: WebhookSink) -> Iterator[World]:
    made = World(lite_database, webhook_sink, subscription_lifetime=WEEK)
    with listening(made.api.conf, lite_database) as made.listener:
        yield made


def hrefs(node: Any) -> list[str]:
    """Return every link in a document."""
    if isinstance(node, dict):
        here = [node["href"]] if "href" in node else []
        return here + [href for value in node.values() for href in hrefs(value)]
    return [href for value in node for href in hrefs(value)] if isinstance(node, list) else []


def test_without_a_public_url_links_begin_as_each_subscriber_reached_the_api(world: World) -> None:
    world.subscribe("/inside", headers={"Host": "inside.example:8043"})
    world.subscribe("/outside", headers={"Host": "outside.example"})
    world.api.alarm(bound("vm-1"), ok_actions=["log://"])
    world.listener.process(fault("vm-1"))
    world.listener.process(fault("vm-1", state="active"))
    for path, root in (("/inside", "http://inside.example:8043"), ("/outside", "http://outside.example")):
        for notification in world.received(path, 2):
            found = hrefs(notification)
            assert len(found) == 2
            assert all(href.startswith(f"{root}/vnffm/v1/") for href in found)


def test_a_public_url_takes_precedence(lite_database: storage.Database, webhook_sink: WebhookSink) -> None:
    made = World(lite_database, webhook_sink, public_url="https://cloud.example/nfv")
    with listening(made.api.conf, lite_database) as made.listener:
        made.subscribe("/all", headers={"Host": "inside.example"})
        made.api.alarm(bound("vm-1"))
        made.listener.process(fault("vm-1"))
        (notification,) = made.received("/all", 1)
    assert all(href.startswith("https://cloud.example/nfv/vnffm/v1/") for href in hrefs(notification))


def age(database: storage.Database, subscription_id: str, seconds: float) -> None:
    """Set the time of a subscription's last confirmation to that long ago."""
    table = ifa_tables.subscription
    then = datetime.datetime.now(UTC) - datetime.timedelta(seconds=seconds)
    with database.begin() as connection:
        this = table.c.subscription_id == subscription_id
        connection.execute(sa.update(table).where(this).values(confirmed_at=then))


def listed(api: IfaApi, **how: Any) -> set[str]:
    return {one["id"] for one in api.pages(SUBSCRIPTIONS, **how)}


def test_a_subscription_ends_unless_its_user_confirms_it(world: World) -> None:
    """Only repeating the subscription confirms it: a GET never writes."""
    user = {"X-User-Id": "left"}
    gone = world.subscribe("/gone", headers=user)
    read, again = (world.subscribe(path) for path in ("/read", "/again"))
    for one in (gone, read, again):
        age(world.database, one, WEEK - 3600)
    assert world.api.get(f"{SUBSCRIPTIONS}/{read}").status_code == 200
    callback = {"callbackUri": world.sink.url("/again")}
    assert world.api.call("POST", SUBSCRIPTIONS, body=callback).status_code == 303
    # Another user with the same request, a reader and an administrator are not the user that subscribed.
    callback = {"callbackUri": world.sink.url("/gone")}
    assert world.api.call("POST", SUBSCRIPTIONS, body=callback).status_code == 303
    assert world.api.get(f"{SUBSCRIPTIONS}/{gone}", roles="reader", headers=user).status_code == 200
    assert world.api.get(f"{SUBSCRIPTIONS}/{gone}", roles="admin").status_code == 200
    assert read in listed(world.api)

    for one in (gone, read, again):
        with world.database.read() as connection:
            table = ifa_tables.subscription
            query = sa.select(table.c.confirmed_at).where(table.c.subscription_id == one)
            idle = (datetime.datetime.now(UTC) - connection.execute(query).scalar_one()).total_seconds()
        age(world.database, one, idle + 7200)
    world.run_once()
    # Every listener reads the subscriptions anew, once a second.
    world.run_once()

    assert listed(world.api) == {again}
    world.api.alarm(bound("vm-1"))
    world.listener.process(fault("vm-1"))
    world.received("/again", 1)
    assert world.posts("/gone") == world.posts("/read") == []


def test_subscriptions_are_listed_by_user(world: World) -> None:
    mine = world.subscribe("/mine")
    theirs = world.subscribe("/theirs", headers={"X-User-Id": "left"})
    far = world.subscribe("/far", project="project-b", headers={"X-User-Id": "left"})
    assert listed(world.api, user_id="left") == {theirs}
    assert listed(world.api) == {mine, theirs}
    everywhere = {"roles": "admin,reader", "all_projects": "true"}
    assert listed(world.api, user_id="left", **everywhere) == {theirs, far}


def test_the_callback_test_reveals_nothing_about_what_it_found(
    lite_database: storage.Database, webhook_sink: WebhookSink, caplog: pytest.LogCaptureFixture
) -> None:
    """An open port, a closed one, a denied network, an unknown name: a subscriber cannot tell them apart."""
    api = IfaApi(lite_database, callback_timeout=0.3, callback_deny_networks=["169.254.0.0/16"])
    for path, behaviour in (("/ok", [200]), ("/broken", [500]), ("/auth", [401]), ("/moved", [302])):
        webhook_sink.behave(path, statuses=behaviour)
    with socket.create_server(("127.0.0.1", 0)) as hung, socket.create_server(("127.0.0.1", 0)) as closed:
        dead = closed.getsockname()[1]
        closed.close()
        uris = [
            *(webhook_sink.url(path) for path in ("/ok", "/broken", "/auth", "/moved")),
            f"http://127.0.0.1:{hung.getsockname()[1]}/",
            f"http://127.0.0.1:{dead}/",
            "http://169.254.169.254/",
            "http://no.such.host.invalid/",
            f"https://127.0.0.1:{hung.getsockname()[1]}/",
        ]
        with caplog.at_level(logging.INFO):
            answers = [api.call("POST", SUBSCRIPTIONS, body={"callbackUri": uri}) for uri in uris]
    assert {answer.status_code for answer in answers} == {422}
    details = {re.sub(r"\(test \S+\)", "", answer.json["detail"]) for answer in answers}
    assert len(details) == 1
    reference = re.search(r"\(test (\S+)\)", answers[5].json["detail"])
    assert reference is not None
    reasons = [one.getMessage() for one in caplog.records if reference[1] in one.getMessage()]
    assert len(reasons) == 1
    assert f"127.0.0.1:{dead}" in reasons[0]


def test_hung_callbacks_leave_threads_for_others(lite_database: storage.Database) -> None:
    api = IfaApi(lite_database, callback_timeout=5.0, threads=8)
    answers: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as hung:
        body = {"callbackUri": f"http://127.0.0.1:{hung.getsockname()[1]}/"}

        def subscribe() -> None:
            answers.append(api.call("POST", SUBSCRIPTIONS, body=body))

        threads = [threading.Thread(target=subscribe) for _ in range(6)]
        for one in threads:
            one.start()
        # One request of a project waits for its test; the others are asked to retry, at once.
        wait_until(lambda: len(answers) == 5, 4)
        assert {(one.status_code, "retry-after" in one.headers) for one in answers} == {(503, True)}
        hung.close()
        for one in threads:
            one.join()
    assert sorted(one.status_code for one in answers) == [422, 503, 503, 503, 503, 503]


KEYS = [
    "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=",
]


def stored(database: storage.Database) -> str:
    with database.read() as connection:
        return str(connection.execute(sa.select(ifa_tables.subscription.c.authentication)).scalar_one())


def leave_to_the_next(database: storage.Database) -> None:
    """Release the leader lease of the previous listener, as it does when it ends."""
    with database.begin() as connection:
        connection.execute(sa.delete(tables.leader_lease))


def test_keys_are_rotated_without_losing_a_subscription(
    lite_database: storage.Database, webhook_sink: WebhookSink
) -> None:
    old, new = KEYS
    secret = {"authType": ["BASIC"], "paramsBasic": {"userName": "nfvo", "password": "s3cret"}}
    World(lite_database, webhook_sink, credentials_key=old).subscribe("/all", authentication=secret)
    before = stored(lite_database)
    for number, keys in enumerate((f"{old}, {new}", f"{new},{old}", new), 1):
        made = World(lite_database, webhook_sink, credentials_key=keys)
        with listening(made.api.conf, lite_database) as made.listener:
            leave_to_the_next(lite_database)
            made.run_once()
            made.run_once()
            made.api.alarm(bound(f"vm-{number}"))
            made.listener.process(fault(f"vm-{number}"))
            made.received("/all", number)
        assert (stored(lite_database) == before) == (number == 1)
    assert {one.headers["Authorization"] for one in made.posts("/all")} == {"Basic bmZ2bzpzM2NyZXQ="}


@pytest.fixture(scope="module")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    made = Keystone(tmp_path_factory.mktemp("keystone"))
    with made.running():
        yield made


@pytest.fixture
def checked(
    lite_database: storage.Database, webhook_sink: WebhookSink, keystone: Keystone
) -> Iterator[World]:
    """A world whose listener asks Keystone; its API trusts the identity headers, as behind a proxy."""
    made = World(lite_database, webhook_sink)
    register_keystoneauth_opts(made.api.conf)
    made.api.conf.register_opts(get_auth_plugin_conf_options("password"), group="service_credentials")
    for name, value in keystone.credentials().items():
        made.api.conf.set_override(name, value, group="service_credentials")
    made.api.conf.set_override("auth_mode", "keystone", group="eventalarm_ifa")
    with listening(made.api.conf, lite_database) as made.listener:
        yield made


def test_a_subscription_ends_when_keystone_says_that_its_user_lost_the_right(
    checked: World, keystone: Keystone
) -> None:
    """Revoked roles, insufficient roles, a disabled user, a deleted user, a disabled project."""
    shop, closed = keystone.project("shop"), keystone.project("closed")
    ends: list[str] = []
    stays: list[str] = []
    for name, roles, change in (
        ("member", ("member",), None),
        ("group", (), lambda user: keystone.join(user, shop, "member")),
        ("former", ("member",), lambda user: keystone.revoke(user, shop, "member")),
        ("reader", ("reader",), None),
        ("disabled", ("member",), keystone.disable),
        ("deleted", ("member",), keystone.delete),
    ):
        user = keystone.user(name, shop, *roles)
        one = checked.subscribe(f"/{name}", project=shop, headers={"X-User-Id": user})
        (stays if name in ("member", "group") else ends).append(one)
        if change is not None:
            change(user)
    user = keystone.user("closed", closed, "member")
    ends.append(checked.subscribe("/closed", project=closed, headers={"X-User-Id": user}))
    keystone.close(closed)
    everywhere = {"all_projects": "true"}
    for name, role, kept in (("chief", "admin", stays), ("wide", "member", ends)):
        user = keystone.user(name, shop, role)
        headers = {"X-User-Id": user}
        kept.append(checked.subscribe(f"/{name}", project=shop, roles="admin", headers=headers, **everywhere))

    checked.run_once()

    left = listed(checked.api, roles="admin,reader", all_projects="true")
    assert left == set(stays)


def test_without_a_response_of_keystone_every_subscription_stays(
    checked: World, keystone: Keystone, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither an unreachable Keystone nor one that denies the service user ends a subscription."""
    shop = keystone.project("shop")
    one = checked.subscribe("/gone", project=shop, headers={"X-User-Id": "0" * 32})
    with keystone.stopped(), caplog.at_level(logging.WARNING):
        checked.run_once()
    assert "all subscriptions stay" in caplog.text
    assert listed(checked.api, project=shop) == {one}
