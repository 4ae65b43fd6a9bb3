"""What subscribers are notified of: filters, order, repetitions, components, over real sockets."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from eventalarm.model import OK, UTC
from eventalarm.storage import database as storage
from tests.support.builders import event_body, rule
from tests.support.helpers import WebhookSink
from tests.support.ifa_api import ADMIN
from tests.support.listening import listening
from tests.support.subscribers import (
    ALARM_NOTIFICATION,
    CLEARED_NOTIFICATION,
    SUBSCRIPTIONS,
    World,
    bound,
    fault,
)


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
    lite_database: storage.Database, webhook_sink: WebhookSink
) -> None:
    for counts, path in ((False, "/no"), (True, "/yes")):
        world = World(lite_database, webhook_sink, repeat_is_change=counts)
        world.api.alarm(bound(path), repeat_actions=True)
        with listening(world.api.conf, lite_database) as world.listener:
            world.subscribe(path, filter={"resourceIds": [path]})
            world.listener.process(fault(path))
            world.listener.process(fault(path))
            expected = 2 if counts else 1
            world.received(path, expected)
            world.run_once()
            world.quiet()
            assert len(world.posts(path)) == expected


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
