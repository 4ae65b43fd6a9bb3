"""The IFA API: making, reading and deleting subscriptions."""

from __future__ import annotations

import concurrent.futures
import contextlib
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.storage import database as storage
from tests.support.builders import PROJECT
from tests.support.helpers import WebhookSink, wait_until
from tests.support.ifa_api import (
    SUBSCRIPTIONS,
    IfaApi,
)


def test_subscriptions(api: IfaApi, webhook_sink: WebhookSink) -> None:
    webhook_sink.behave("/cb", statuses=[204])
    body = {
        "callbackUri": webhook_sink.url("/cb"),
        "filter": {"notificationTypes": ["AlarmNotification"], "perceivedSeverities": ["CRITICAL"]},
    }
    made = api.call("POST", SUBSCRIPTIONS, body=body)
    assert made.status_code == 201
    assert made.headers["location"] == made.json["_links"]["self"]["href"]
    assert made.json | body == made.json
    assert [one.method for one in webhook_sink.at("/cb")] == ["GET"]
    same = api.call("POST", SUBSCRIPTIONS, body=body)
    assert (same.status_code, same.headers["location"]) == (303, made.headers["location"])
    assert api.get(SUBSCRIPTIONS).json == [made.json]
    path = f"{SUBSCRIPTIONS}/{made.json['id']}"
    assert api.get(path).json == made.json
    right = "(eq,filter/perceivedSeverities,CRITICAL)"
    assert len(api.get(SUBSCRIPTIONS, filter=right).json) == 1
    products = "filter/vnfInstanceSubscriptionFilter/vnfProductsFromProviders"
    for attribute in (
        *("callbackUri", "_links/self/href", "filter/vnfInstanceSubscriptionFilter/vnfInstanceIds"),
        *(f"{products}/vnfProvider", f"{products}/vnfProducts/versions/vnfdVersions"),
    ):
        assert api.get(SUBSCRIPTIONS, filter=f"(eq,{attribute},x)").json == []
    assert [api.call("DELETE", path).status_code for _ in range(2)] == [204, 404]


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [
        ({"vnfInstanceSubscriptionFilter": {"vnfdIds": ["x"]}}, "resourceIds"),
        ({"perceivedSeverities": ["CLEARED"]}, "notificationTypes"),
        ({"minSeverity": "CRITICAL"}, "strictly"),
        ({"projectIds": ["project-b"]}, "all_projects"),
    ],
)
def test_a_subscription_that_can_never_match_is_refused_with_the_remedy(
    lite: IfaApi, webhook_sink: WebhookSink, asked: dict[str, Any], remedy: str
) -> None:
    webhook_sink.behave("/cb", statuses=[204])
    answer = lite.call("POST", SUBSCRIPTIONS, body={"callbackUri": webhook_sink.url("/cb"), "filter": asked})
    assert answer.status_code == 422
    assert remedy in answer.json["detail"]
    assert webhook_sink.at("/cb") == []


def test_a_caller_of_all_projects_may_subscribe_to_another_project(
    lite: IfaApi, webhook_sink: WebhookSink
) -> None:
    webhook_sink.behave("/cb", statuses=[204])
    body = {"callbackUri": webhook_sink.url("/cb"), "filter": {"projectIds": ["project-b"]}}
    path = f"{SUBSCRIPTIONS}?all_projects=true"
    assert lite.call("POST", path, body=body, roles="admin").status_code == 201


def test_credentials_are_encrypted_and_never_returned(our_sqlite_url: str, webhook_sink: WebhookSink) -> None:
    opened = storage.connect(our_sqlite_url)
    webhook_sink.behave("/cb", statuses=[204])
    secret = {"authType": ["BASIC"], "paramsBasic": {"userName": "vim", "password": "s3cret"}}
    body = {"callbackUri": webhook_sink.url("/cb"), "authentication": secret}
    assert IfaApi(opened).call("POST", SUBSCRIPTIONS, body=body).status_code == 422
    key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    made = IfaApi(opened, credentials_key=key).call("POST", SUBSCRIPTIONS, body=body)
    assert made.status_code == 201
    assert "s3cret" not in made.text
    with opened.read() as connection:
        stored = connection.execute(sa.text("SELECT authentication FROM eventalarm_subscription")).scalar()
    assert stored
    assert "s3cret" not in stored
    assert webhook_sink.at("/cb")[-1].headers["Authorization"].startswith("Basic ")
    opened.dispose()


@pytest.mark.parametrize(
    ("uri", "detail", "logged"),
    [
        ("ftp://consumer/x", "callbackUri must be an absolute http or https URI", ""),
        ("/relative", "callbackUri must be an absolute http or https URI", ""),
        ("http://user:password@consumer/", "authentication", ""),
        ("http://127.0.0.1:9/x", "the test of the callback failed", "callback_deny_networks"),
        ("http://[::ffff:127.0.0.1]:9/x", "the test of the callback failed", "callback_deny_networks"),
        ("http://169.254.169.254/latest", "the test of the callback failed", "callback_deny_networks"),
        ("http://2130706433:9/x", "the test of the callback failed", "is not a valid URL"),
    ],
)
def test_28_denied_callbacks_are_refused(
    lite: IfaApi, uri: str, detail: str, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fenced = IfaApi(lite.database, callback_deny_networks=["127.0.0.0/8", "::1/128", "169.254.0.0/16"])
    answer = fenced.call("POST", SUBSCRIPTIONS, body={"callbackUri": uri})
    assert (answer.status_code, detail in answer.json["detail"]) == (422, True)
    # Refused before anything is sent, not after a timeout; the response does not reveal which.
    assert logged in caplog.text
    assert not logged or logged not in answer.text


def test_a_callback_must_answer_204_and_may_not_redirect(lite: IfaApi, webhook_sink: WebhookSink) -> None:
    for path, behaviour in (
        ("/ok", {"statuses": [200]}),
        ("/moved", {"statuses": [302], "headers": {"Location": webhook_sink.url("/good")}}),
        ("/broken", {"statuses": [500]}),
    ):
        webhook_sink.behave(path, **behaviour)
        answer = lite.call("POST", SUBSCRIPTIONS, body={"callbackUri": webhook_sink.url(path)})
        assert answer.status_code == 422
    assert webhook_sink.at("/good") == []


def test_a_project_has_a_bounded_number_of_subscriptions(lite: IfaApi) -> None:
    api = IfaApi(lite.database, max_subscriptions=2, test_callback=False)
    answers = [
        api.call("POST", SUBSCRIPTIONS, body={"callbackUri": f"http://consumer/{n}"}).status_code
        for n in range(3)
    ]
    assert answers == [201, 201, 403]
    assert PROJECT not in api.get(SUBSCRIPTIONS).text


def test_hung_callbacks_of_one_project_leave_the_tests_of_others_alone(
    our_sqlite_url: str, webhook_sink: WebhookSink
) -> None:
    """A quarter of the threads test callbacks, and a project may use half of the free ones: 2 of 16."""
    webhook_sink.behave("/well", statuses=[204])
    release = webhook_sink.hang("/hung")
    opened = storage.connect(our_sqlite_url)
    api = IfaApi(opened, threads=16, callback_timeout=60.0)

    def subscribe(project: str, path: str) -> int:
        body = {"callbackUri": webhook_sink.url(path)}
        return int(api.call("POST", SUBSCRIPTIONS, project=project, body=body).status_code)

    with concurrent.futures.ThreadPoolExecutor(40) as pool, contextlib.ExitStack() as stack:
        stack.callback(opened.dispose)
        stack.callback(release)
        asked = [pool.submit(subscribe, "greedy", "/hung") for _ in range(40)]
        # The others are asked to retry, and occupy no thread.
        wait_until(lambda: sum(one.done() for one in asked) == 38)
        assert [one.result() for one in asked if one.done()] == [503] * 38
        webhook_sink.wait(2)
        assert subscribe("project-b", "/well") == 201
        assert sum(one.done() for one in asked) == 38
        assert len(webhook_sink.at("/hung")) == 2
