"""How subscribers are served: filters, order, credentials, suspension, over real sockets."""

from __future__ import annotations

import base64
import datetime
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography import fernet

from eventalarm.model import OK, UTC
from eventalarm.storage import database as storage
from eventalarm.storage import ifa_tables, tables
from eventalarm.storage.subscriptions import SubscriptionState
from tests.support.builders import event_body, rule
from tests.support.helpers import WebhookSink, wait_until
from tests.support.ifa_api import ADMIN
from tests.support.listening import listening
from tests.support.subscribers import (
    ALARM_NOTIFICATION,
    CLEARED_NOTIFICATION,
    REBUILT_NOTIFICATION,
    SUBSCRIPTIONS,
    World,
    bound,
    fault,
)


@pytest.fixture
def lite(our_sqlite_url: str) -> Iterator[storage.Database]:
    """SQLite alone, for tests that do not depend on the database."""
    result = storage.connect(our_sqlite_url)
    yield result
    result.dispose()


@pytest.fixture
def small(lite: storage.Database, webhook_sink: WebhookSink) -> Iterator[World]:
    made = World(lite, webhook_sink, suspend_after=1.0, probe_interval=0.1)
    with listening(made.api.conf, lite) as made.listener:
        yield made


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [
        ({"perceivedSeverities": ["CLEARED"]}, "notificationTypes"),
        (
            {"perceivedSeverities": ["CLEARED"], "notificationTypes": [CLEARED_NOTIFICATION]},
            "leave CLEARED out",
        ),
        ({"vnfInstanceSubscriptionFilter": {"vnfdIds": ["x"]}}, "resourceIds"),
        ({"minSeverity": "CRITICAL"}, "strictly"),
        ({"projectIds": ["another"]}, "all_projects"),
    ],
)
def test_a_filter_that_can_never_match_is_refused_before_the_callback_is_tested(
    small: World, webhook_sink: WebhookSink, asked: dict[str, Any], remedy: str
) -> None:
    body = {"callbackUri": webhook_sink.url("/unfit"), "filter": asked}
    answer = small.api.call("POST", SUBSCRIPTIONS, body=body)
    assert (answer.status_code, remedy in answer.json["detail"]) == (422, True), answer.text
    assert webhook_sink.at("/unfit") == []


def test_filters_decide_what_is_notified(small: World) -> None:
    filters: dict[str, Any] = {
        "/critical": {"perceivedSeverities": ["CRITICAL"]},
        "/above-minor": {"minSeverity": "MINOR"},
        "/storage": {"faultyResourceTypes": ["STORAGE"]},
        "/vm-2": {"resourceIds": ["vm-2"]},
        "/volumes": {"faultTypes": ["volume.*"]},
        "/clears": {"notificationTypes": [CLEARED_NOTIFICATION]},
    }
    for path, asked in filters.items():
        small.subscribe(path, filter=asked)
    elsewhere = {"projectIds": ["project-b"]}
    small.subscribe("/project-b", filter=elsewhere, all_projects="true", roles=ADMIN)
    small.subscribe("/all")
    small.api.alarm(bound("vm-1"), "critical", severity="critical", ok_actions=["log://"])
    small.api.alarm(bound("vm-2"), "moderate", severity="moderate")
    small.api.alarm(rule("volume.*", resource_id="volume-1"), "low")
    volume = event_body("volume.delete.error", resource_id="volume-1")
    small.listener.process(fault("vm-1"), fault("vm-2"), volume)
    small.listener.process(fault("vm-1", state="active"))
    small.received("/all", 4)
    small.quiet()

    def of(path: str) -> list[str]:
        return sorted(
            one["alarm"]["id"] if "alarm" in one else one["alarmId"] for one in small.received(path, 0)
        )

    assert of("/critical") == ["critical", "critical"]
    assert of("/above-minor") == ["critical", "critical", "moderate"]
    assert of("/storage") == of("/volumes") == ["low"]
    assert of("/vm-2") == ["moderate"]
    assert of("/clears") == ["critical"]


def test_the_clear_is_notified_whatever_the_severity_became(small: World) -> None:
    small.subscribe("/critical", filter={"perceivedSeverities": ["CRITICAL"]})
    small.subscribe("/minor", filter={"perceivedSeverities": ["MINOR"]})
    alarm_id = small.api.alarm(bound("vm-1"), severity="critical", ok_actions=["log://"])
    small.listener.process(fault("vm-1"))
    now = datetime.datetime.now(UTC)
    small.api.put(alarm_id, severity="low", timestamp=now)
    small.api.record(alarm_id, "rule change", {"severity": "low"}, now)
    small.run_once()
    small.listener.process(fault("vm-1", state="active"))
    assert small.kinds("/critical", 2) == [ALARM_NOTIFICATION, CLEARED_NOTIFICATION]
    small.quiet()
    assert small.posts("/minor") == []


def test_the_transitions_of_one_batch_are_notified_in_order(small: World) -> None:
    small.api.alarm(bound("vm-1"), ok_actions=["log://"])
    small.subscribe("/nfvo")
    turns = [fault("vm-1", state=state) for state in ("error", "active", "error", "active", "error")]
    small.listener.process(*turns)
    notifications = small.received("/nfvo", 5)
    assert [one["notificationType"] for one in notifications] == [
        ALARM_NOTIFICATION,
        CLEARED_NOTIFICATION,
    ] * 2 + [ALARM_NOTIFICATION]
    assert all("alarmClearedTime" not in one["alarm"] for one in notifications if "alarm" in one)
    assert len({one["id"] for one in notifications}) == 5


def test_each_object_of_a_group_is_notified_and_a_reset_clears_those_that_are_not_raised_again(
    small: World,
) -> None:
    grouped = rule(state="error") | {"group_by": ["instance_id"]}
    alarm_id = small.api.alarm(grouped, type="notification", alarm_actions=[])
    small.subscribe("/nfvo")
    small.listener.process(*(fault(f"vm-{n}") for n in range(3)))
    raised = small.received("/nfvo", 3)
    ids = {one["alarm"]["managedObjectId"]: one["alarm"]["id"] for one in raised}
    assert set(ids) == {"vm-0", "vm-1", "vm-2"}
    now = datetime.datetime.now(UTC)
    small.api.put(alarm_id, state=OK, state_reason="Manually set via API", state_timestamp=now)
    small.listener.process(fault("vm-0"))
    small.run_once()
    news = small.received("/nfvo", 7)[3:]
    of_first = [one["notificationType"] for one in news if ids["vm-0"] in json.dumps(one)]
    assert of_first == [CLEARED_NOTIFICATION, ALARM_NOTIFICATION]
    assert {one["alarmId"] for one in news if "alarmId" in one} == set(ids.values())


def test_a_repetition_is_notified_only_where_it_counts_as_a_change(
    lite: storage.Database, webhook_sink: WebhookSink
) -> None:
    for counts, path in ((False, "/no"), (True, "/yes")):
        world = World(lite, webhook_sink, repeat_is_change=counts)
        world.api.alarm(bound(path), repeat_actions=True)
        with listening(world.api.conf, lite) as world.listener:
            world.subscribe(path, filter={"resourceIds": [path]})
            world.listener.process(fault(path))
            world.listener.process(fault(path))
            expected = 2 if counts else 1
            world.received(path, expected)
            world.run_once()
            world.quiet()
            assert len(world.posts(path)) == expected


def test_27_a_stalled_subscription_is_suspended_and_resumed_with_a_rebuilt_list(small: World) -> None:
    subscription = small.subscribe("/dead")
    small.subscribe("/alive")
    for n in range(3):
        small.api.alarm(bound(f"vm-{n}"))
    small.sink.behave("/dead", statuses=[503])
    small.listener.process(fault("vm-0"))
    small.run_until(lambda: state_of(small, subscription) == "suspended", 20)
    small.received("/alive")
    before = len(small.posts("/dead"))
    small.listener.process(fault("vm-1"))
    small.received("/alive", 2)
    small.quiet()
    assert len(small.posts("/dead")) == before, "nothing is sent to a suspended subscription"
    small.sink.behave("/dead", statuses=[204])
    small.run_until(lambda: state_of(small, subscription) == "active", 20)
    wait_until(lambda: len(small.posts("/dead")) > before)
    small.listener.process(fault("vm-2"))
    small.received("/alive", 3)
    news = small.received("/dead", before + 2)[before:]
    assert [one["notificationType"] for one in news] == [REBUILT_NOTIFICATION, ALARM_NOTIFICATION]
    assert news[0]["_links"]["alarms"]["href"] == "http://falconframework.org/vnffm/v1/alarms"


def test_a_consumer_that_takes_too_long_is_suspended_too(small: World) -> None:
    subscription = small.subscribe("/slow")
    small.api.alarm(bound("vm-0"))
    release = small.sink.hang("/slow")
    small.listener.process(fault("vm-0"))
    wait_until(lambda: small.posts("/slow"))
    small.run_once()
    assert state_of(small, subscription) == "active"
    # The first attempt ends after 5 s, the last one after 20.
    small.run_until(lambda: state_of(small, subscription) == "suspended", 12)
    release()


def leader(world: World) -> tuple[str | None, int]:
    """Return the leader and the number of renewals of its lease."""
    with world.database.read() as connection:
        row = connection.execute(sa.select(tables.leader_lease.c.owner, tables.leader_lease.c.renewals)).one()
    return row.owner, row.renewals


def test_the_leader_keeps_its_lease_while_it_probes_consumers_that_hang(
    lite: storage.Database, webhook_sink: WebhookSink
) -> None:
    """Before the fix consumers were probed one by one, without a renewal of the lease in between."""
    world = World(lite, webhook_sink, callback_timeout=60.0)
    paths = ("/a", "/b", "/c")
    with listening(world.api.conf, lite) as world.listener:
        subscriptions = [world.subscribe(path) for path in paths]
        world.run_once()
        store = world.listener.notifier._parts.subscribers.store
        with lite.begin() as connection:
            for one in subscriptions:
                store.turn(one, SubscriptionState.ACTIVE, SubscriptionState.SUSPENDED, connection)
        releases = [webhook_sink.hang(path) for path in paths]
        earlier = {path: len(webhook_sink.at(path)) for path in paths}
        round_ = threading.Thread(target=world.run_once)
        round_.start()
        for path in paths:
            webhook_sink.wait(earlier[path] + 1, path)
        _, before = leader(world)
        wait_until(lambda: leader(world)[1] >= before + 2, what="the lease is renewed meanwhile")

        webhook_sink.behave("/a", statuses=[204])
        with lite.begin() as connection:
            connection.execute(sa.update(tables.leader_lease).values(owner="another"))
        round_.join(20)
        assert not round_.is_alive(), "a process without the lease continues its round"
        assert [state_of(world, one) for one in subscriptions] == ["suspended"] * 3
        assert leader(world)[0] == "another"
        for release in releases:
            release()


def state_of(world: World, subscription: str) -> str:
    table = ifa_tables.subscription
    with world.database.read() as connection:
        query = sa.select(table.c.state).where(table.c.subscription_id == subscription)
        return str(connection.execute(query).scalar_one())


def test_after_unsubscribing_nothing_is_sent(small: World) -> None:
    subscription = small.subscribe("/gone")
    small.subscribe("/there")
    for n in range(2):
        small.api.alarm(bound(f"vm-{n}"))
    small.listener.process(fault("vm-0"))
    small.received("/gone")
    assert small.api.call("DELETE", f"{SUBSCRIPTIONS}/{subscription}").status_code == 204
    small.run_once()
    small.listener.process(fault("vm-1"))
    small.received("/there", 2)
    small.quiet()
    assert len(small.posts("/gone")) == 1


def test_credentials_are_used_and_a_refused_token_is_replaced(
    lite: storage.Database, webhook_sink: WebhookSink
) -> None:
    world = World(lite, webhook_sink, credentials_key=fernet.Fernet.generate_key().decode())
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
    with listening(world.api.conf, lite) as world.listener:
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
    lite: storage.Database, webhook_sink: WebhookSink
) -> None:
    world = World(lite, webhook_sink, credentials_key=fernet.Fernet.generate_key().decode())
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
    with listening(world.api.conf, lite) as world.listener:
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
    lite: storage.Database, webhook_sink: WebhookSink, broken: str
) -> None:
    world = World(
        lite,
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
    lite: storage.Database, webhook_sink: WebhookSink, uri: str, remedy: str
) -> None:
    world = World(lite, webhook_sink, test_callback=False)
    answer = world.api.call("POST", SUBSCRIPTIONS, body={"callbackUri": uri})
    assert answer.status_code == 422
    assert remedy in answer.json["detail"]


def test_notifications_of_a_dead_listener_are_sent_by_another(small: World) -> None:
    """It is committed with the transition, so it is not lost with the process that was to send it (G1)."""
    small.subscribe("/nfvo")
    alarm_id = small.api.alarm(bound("vm-0"))
    small.listener.close()
    small.listener.process(fault("vm-0"))
    assert small.posts("/nfvo") == []
    with listening(small.api.conf, small.database):
        (notifications,) = small.received("/nfvo")
    assert notifications["alarm"]["id"] == alarm_id


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


def test_the_answer_to_a_subscription_lists_what_is_in_fault_on_request(
    small: World, webhook_sink: WebhookSink
) -> None:
    webhook_sink.behave("/late", statuses=[204])
    for server, severity in (("vm-1", "critical"), ("vm-2", "low")):
        small.api.alarm(bound(server), server, severity=severity)
        small.listener.process(fault(server))
    small.api.alarm(bound("vm-3"), "theirs", severity="critical", project_id="project-b")
    small.listener.process(fault("vm-3", project="project-b"))
    asked = {"perceivedSeverities": ["CRITICAL"], "notificationTypes": [CLEARED_NOTIFICATION]}
    body: dict[str, Any] = {"callbackUri": webhook_sink.url("/late"), "filter": asked}
    made = small.api.call("POST", f"{SUBSCRIPTIONS}?include_resources=true", body=body)
    assert made.status_code == 201
    (resource,) = made.json["resources"]
    assert (resource["managedObjectId"], resource["state"], resource["alarmIds"]) == (
        "vm-1",
        "down",
        ["vm-1"],
    )
    # SOL003's own form, without the parameter and ever after.
    plain = {"id", "callbackUri", "filter", "_links"}
    assert set(small.api.get(f"{SUBSCRIPTIONS}/{made.json['id']}").json) == plain
    body["filter"] = {"resourceIds": ["vm-2"]}
    assert set(small.api.call("POST", SUBSCRIPTIONS, body=body).json) == plain
    body["filter"] = {"resourceIds": ["vm-3"]}
    none = small.api.call("POST", f"{SUBSCRIPTIONS}?include_resources=true", body=body)
    assert none.json["resources"] == []


def test_subscribers_to_a_resource_are_notified_of_each_of_its_components(small: World) -> None:
    grouped = {
        "event_type": ["guest.health.update"],
        "group_by": ["instance_id", "check"],
        "query": [{"field": "traits.state", "value": "failed"}],
        "clear": {"query": [{"field": "traits.state", "value": "ok"}]},
    }
    small.api.alarm(grouped, "a", type="notification", severity="critical")
    small.subscribe("/compute", filter={"faultyResourceTypes": ["COMPUTE"]})
    small.subscribe("/vm-1", filter={"vnfInstanceSubscriptionFilter": {"vnfInstanceIds": ["vm-1"]}})
    small.subscribe("/resource", filter={"resourceIds": ["vm-1"], "faultyResourceTypes": ["COMPUTE"]})
    small.subscribe("/vm-2", filter={"resourceIds": ["vm-2"]})
    small.subscribe("/network", filter={"faultyResourceTypes": ["NETWORK"]})

    def guest(check: str, state: str) -> Any:
        return event_body("guest.health.update", instance_id="vm-1", check=check, state=state)

    small.listener.process(guest("agent", "failed"))
    small.listener.process(guest("disk", "failed"))
    small.listener.process(guest("disk", "ok"))
    for path in ("/compute", "/vm-1", "/resource"):
        agent, disk, cleared = small.received(path, 3)
        for one, component in ((agent, "agent"), (disk, "disk")):
            assert one["alarm"]["managedObjectId"] == "vm-1"
            assert f"component={component}" in one["alarm"]["faultDetails"]
            assert one["alarm"]["rootCauseFaultyResource"]["faultyResource"]["resourceId"] == "vm-1"
        assert cleared["alarmId"] == disk["alarm"]["id"] != agent["alarm"]["id"]
    small.quiet()
    assert small.posts("/vm-2") == small.posts("/network") == []
