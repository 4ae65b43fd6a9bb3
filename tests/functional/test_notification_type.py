"""Alarms of type ``notification`` through the real Aodh API, its clients, its evaluator, and our engine."""

from __future__ import annotations

import json
import pathlib
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from aodhclient import exceptions

from eventalarm.client import rule_manage
from eventalarm.status.checks import Level
from eventalarm.status.database import check_alarms
from tests.support import openstack_client
from tests.support.cloud import PROJECT, USER, Cloud, Spawn, make_event
from tests.support.engine_harness import EngineHarness, occurrences, transitions
from tests.support.helpers import console_script

STATE = "traits.state"
RULE = {
    "event_type": ["compute.instance.*"],
    "query": {"or": [{"field": STATE, "value": "error"}, {"field": STATE, "op": "prefix", "value": "crash"}]},
    "clear": {"query": [{"field": STATE, "op": "in", "value": ["active", "stopped"]}]},
    "resource_id": "application-1",
    "group_by": ["instance_id"],
    "clear_after": 3600,
    "severity_from": "severity",
}


@pytest.fixture
def cloud(spawn: Spawn, tmp_path: pathlib.Path, our_sqlite_url: str) -> Iterator[Cloud]:
    """Aodh's API and evaluator on one database, with limits of a deployer."""
    limits = {"max_rule_conditions": 3, "require_resource_id": True}
    one = Cloud(
        spawn, tmp_path, our_sqlite_url, "fake://", eventalarm=limits, evaluator={"evaluation_interval": 1}
    )
    one.start_api()
    yield one
    one.close()


def alarm_of(rule: Any, **fields: Any) -> dict[str, Any]:
    return {
        "name": "n",
        "type": "notification",
        "notification_rule": rule,
        "alarm_actions": ["http://a/"],
    } | fields


def openstack(cloud: Cloud, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the real ``openstack`` client as a tenant would."""
    identity = {
        "OS_AUTH_TYPE": "aodh-noauth",
        "OS_AODH_ENDPOINT": cloud.api_url,
        "OS_PROJECT_ID": PROJECT,
        "OS_USER_ID": USER,
        "OS_ROLES": "member,reader",
    }
    return openstack_client.openstack(*words, env=identity)


def run(cloud: Cloud, *words: str) -> Any:
    """Run the client and return its JSON."""
    done = openstack(cloud, *words, "-f", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(client: Any, rule: Any) -> str:
    with pytest.raises(exceptions.ClientException) as caught:
        client.alarm.create(alarm_of(rule))
    assert caught.value.code == 400
    return str(caught.value)


def test_bad_rules_are_refused_with_field_and_remedy(cloud: Cloud) -> None:
    """Fails when the plugin accepts everything, and when it does not read its options."""
    client = cloud.client()
    condition = {"field": STATE, "value": "error"}
    for rule, words in (
        ({**RULE, "query": [{**condition, "op": "like"}]}, "query[0].op: unknown operator 'like'; use"),
        ({**RULE, "evnt": 1}, "evnt: unknown field; use event_type"),
        ({**RULE, "query": [condition] * 4}, "query[3]: more than 3 conditions"),
        ({**RULE, "query": [{**condition, "op": "regex", "value": "("}]}, "query[0].value"),
        ({**RULE, "resource_id": None}, "resource_id: required in this cloud"),
        ("text", "rule: must be a non-empty object"),
        ([RULE], "rule: must be a non-empty object"),
        ({**RULE, "clear_after": -1}, "clear_after: must be a number of seconds; give more"),
        ({**RULE, "absence": {"after": 60}}, "clear: must not be combined with absence; remove it"),
    ):
        assert f"notification_rule: {words}" in refused(client, rule)
    assert "notification_rule must be set" in refused(client, None)
    assert client.alarm.list() == []


def test_aodh_refuses_some_alarms_before_our_plugin(cloud: Cloud) -> None:
    """The attribute of the blueprint's sample, and an action of an event alarm that Tacker never takes."""
    client = cloud.client()
    event_rule = {"event_type": "compute.instance.update", "query": []}
    event = {"name": "e", "type": "event", "event_rule": event_rule}
    for body in (
        event | {"resource_id": "vm-1"},
        event | {"event_rule": event_rule | {"resource_id": "vm-1"}},
        alarm_of(RULE, resource_id="vm-1"),
    ):
        with pytest.raises(
            exceptions.ClientException, match=r"Unknown attribute for argument .*: resource_id"
        ):
            client.alarm.create(body)
    bad = ["tacker+http://127.0.0.1/servers/{server_id}/notify"]
    with pytest.raises(exceptions.ClientException, match=r"alarm_actions: .* fault_id must have"):
        client.alarm.create(alarm_of(RULE) | {"alarm_actions": bad})
    assert check_alarms(cloud.database).level is Level.OK
    made = client.alarm.create(event | {"alarm_actions": bad})
    assert made["alarm_actions"] == bad
    found = check_alarms(cloud.database)
    assert found.level is Level.WARNING
    assert f"alarm {made['alarm_id']} has an action that Tacker refuses: fault_id must have" in found.message


@pytest.mark.parametrize("place", ["alarm", "rule"])
def test_a_dry_run_refuses_the_same_rules_as_aodh(tmp_path: pathlib.Path, place: str) -> None:
    event_rule = {"event_type": "compute.instance.update", "query": []}
    within = {"resource_id": "vm-1"}
    body = {"event_rule": event_rule} | within if place == "alarm" else {"event_rule": event_rule | within}
    alarm, event = tmp_path / "alarm.json", tmp_path / "event.json"
    alarm.write_text(json.dumps(body))
    event.write_text(json.dumps(make_event(instance_id="vm-2")))
    words = ("eventalarm", "rule", "test", "--rule", str(alarm), "--event", str(event))
    done = openstack_client.openstack(*words, env={})
    assert done.returncode == 1
    assert "traits.resource_id" in done.stderr


def test_an_alarm_is_raised_changed_and_cleared(cloud: Cloud, spawn: Spawn, tmp_path: pathlib.Path) -> None:
    """Fails without the no-op evaluator, without a clear half, without group_by as the managed object."""
    client = cloud.client()
    made = client.alarm.create(alarm_of({**RULE, "group_by": ["nothing"]}, ok_actions=["http://ok/"]))
    alarm = made["alarm_id"]
    client.alarm.update(alarm, {"notification_rule": RULE})
    assert client.alarm.get(alarm)["notification_rule"] == RULE
    assert [(a["alarm_id"], a["type"]) for a in client.alarm.list()] == [(alarm, "notification")]
    assert run(cloud, "alarm", "show", alarm)["type"] == "notification"
    assert json.loads(run(cloud, "eventalarm", "rule", "show", alarm)["rule"]) == RULE
    rule_file = tmp_path / "rule.json"
    rule_file.write_text(json.dumps({**RULE, "resource_id": "application-2"}))
    created = run(
        cloud,
        "eventalarm",
        "rule",
        "create",
        "--name",
        "cli",
        "--rule",
        str(rule_file),
        "--ok-action",
        "http://ok/",
    )
    assert created["state"] == "insufficient data"

    engine = EngineHarness(cloud.database)
    for instance, state in (("vm-1", "error"), ("vm-2", "crashed"), ("vm-1", "active"), ("vm-2", "stopped")):
        engine.process(make_event(instance, state, resource_id="application-1"))
        expected = "ok" if state == "stopped" else "alarm"
        assert client.alarm.get_state(alarm) == expected, (instance, state)
    engine.process(make_event("vm-3", "error", resource_id="application-3"))
    kinds = [(row["managed_object"], row["kind"]) for row in of(alarm, transitions(cloud.database))]
    assert kinds == [("vm-1", "raised"), ("vm-2", "raised"), ("vm-1", "cleared"), ("vm-2", "cleared")]
    assert len(of(alarm, occurrences(cloud.database))) == 2
    assert client.alarm.get_state(created["alarm_id"]) == "insufficient data"

    evaluator = spawn([console_script("aodh-evaluator"), "--config-file", cloud.conf_path, "--debug"])
    evaluator.wait_for_log(r"initiating evaluation cycle on 2 alarms")
    evaluator.wait_for_log(rf"Evaluating alarm {alarm}")
    assert evaluator.terminate() == 0
    assert "unsupported type" not in evaluator.text()
    assert "Traceback" not in evaluator.text()
    client.alarm.delete(alarm)


def of(alarm: str, rows: Any) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["alarm_id"] == alarm]


def test_alarms_are_listed_changed_and_deleted_by_the_command_line(
    cloud: Cloud, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when a page is skipped, an omitted option changes something, or one error stops the rest."""
    monkeypatch.setattr(rule_manage, "PAGE", 2)
    client = cloud.client()
    made = {
        name: client.alarm.create(alarm_of(RULE, name=name, ok_actions=["http://ok/"]))["alarm_id"]
        for name in ("c", "a", "b", "e", "d")
    }
    event = client.alarm.create({"name": "event", "type": "event", "event_rule": {"event_type": "x"}})[
        "alarm_id"
    ]

    def names(*words: str) -> list[str]:
        return [one["Name"] for one in run(cloud, "eventalarm", "rule", "list", *words)]

    assert names() == ["a", "b", "c", "d", "e"]
    assert names("--limit", "3") == ["a", "b", "c"]
    assert names("--name", "b") == ["b"]

    (tmp_path / "rule.json").write_text(json.dumps({**RULE, "resource_id": "application-2"}))
    (tmp_path / "bad.json").write_text(json.dumps({**RULE, "evnt": 1}))
    update = ("eventalarm", "rule", "update")
    words = ("--rule", str(tmp_path / "rule.json"), "--severity", "critical", "--disable", "--no-ok-action")
    shown = run(cloud, *update, made["a"], *words)
    assert (shown["severity"], shown["enabled"], shown["ok_actions"]) == ("critical", False, "")
    assert (shown["name"], shown["alarm_actions"]) == ("a", "http://a/")
    assert client.alarm.get(made["a"])["notification_rule"]["resource_id"] == "application-2"
    assert names("--severity", "critical") == ["a"]
    for arguments, problem in (
        ((made["a"],), "nothing to change: give at least one option"),
        ((made["a"], "--rule", str(tmp_path / "bad.json")), "evnt: unknown field"),
        ((event, "--name", "n"), "is of type event and has no notification rule"),
    ):
        done = openstack(cloud, *update, *arguments)
        assert done.returncode == 1
        assert problem in done.stderr

    done = openstack(cloud, "eventalarm", "rule", "delete", made["a"], "missing", made["b"])
    assert done.returncode == 1
    assert "1 of 3 alarms were not deleted: missing: " in done.stderr
    assert names() == ["c", "d", "e"]


def test_dry_run_of_an_alarm_in_the_cloud(cloud: Cloud, tmp_path: pathlib.Path) -> None:
    """The rule that is explained is the one of the alarm, read through the API."""
    alarm = cloud.client().alarm.create(alarm_of(RULE))["alarm_id"]
    event = tmp_path / "event.json"
    event.write_text(json.dumps(make_event("vm-1", "crashing", resource_id="application-1")))
    done = openstack(cloud, "eventalarm", "rule", "test", "--alarm", alarm, "--event", str(event))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The event raises the alarm (managed object: vm-1).")
    assert "yes      traits.state prefix 'crash'   (event: 'crashing')" in done.stdout
    rule_file = tmp_path / "rule.json"
    rule_file.write_text(json.dumps({**RULE, "query": [{"field": STATE, "value": "gone"}]}))
    cloud.api_url = "http://nobody.invalid"
    done = openstack(cloud, "eventalarm", "rule", "test", "--rule", str(rule_file), "--event", str(event))
    assert done.returncode == 1, "without a cloud"
    assert done.stdout.startswith("The event does nothing to the alarm")
