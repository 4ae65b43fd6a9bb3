"""``OS::EventAlarm::NotificationAlarm`` in Heat: its plugin loader, its validation, and the real Aodh API."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import yaml
from heat.common import context, exception, plugin_loader
from heat.engine import environment, plugin_manager, resource, stack, template
from oslo_config import cfg

from eventalarm import heat_plugin
from tests.support.cloud import Cloud, Spawn
from tests.support.orchestration import documented

TYPE = "OS::EventAlarm::NotificationAlarm"
RULE = {
    "event_type": "compute.instance.update",
    "query": [{"field": "traits.state", "value": "error"}],
    "clear": {"query": [{"field": "traits.state", "value": "active"}]},
    "group_by": ["instance_id"],
}


@pytest.fixture
def loaded() -> Iterator[environment.Environment]:
    """Heat's environment with what its plugin loader finds in our directory, as ``plugin_dirs`` names it."""
    (folder,) = heat_plugin.__path__
    before = set(sys.modules)
    package = plugin_loader.create_subpackage([folder], "heat.engine")
    modules = list(plugin_loader.load_modules(package))
    mapping = plugin_manager.PluginMapping("resource")
    found = environment.Environment({}, user_env=False)
    for name, made in mapping.load_from_module(modules[0]).items():
        found.register_class(name, made)
    yield found
    for name in set(sys.modules) - before:
        if name.startswith("heat.engine.plugins"):
            del sys.modules[name]


@pytest.fixture
def heat(loaded: environment.Environment) -> Iterator[Any]:
    """A function that returns the resource of a template with *properties*, which Heat has validated."""

    # A resource does not keep its stack.
    stacks: list[Any] = []

    def build(body: Any = None, **properties: Any) -> Any:
        body = body or {
            "heat_template_version": "2018-08-31",
            "resources": {"alarm": {"type": TYPE, "properties": properties}},
        }
        caller = context.RequestContext(project_id="p", user_id="u", roles=["member"])
        made = stack.Stack(caller, "servers", template.Template(body, env=loaded))
        made.validate()
        stacks.append(made)
        return next(iter(made.values()))

    cfg.CONF([], project="heat", default_config_files=[], default_config_dirs=[])
    with mock.patch.object(resource.Resource, "is_service_available", return_value=(True, None)):
        yield build
    cfg.CONF.reset()


def test_heat_validates_the_rule_with_the_template(heat: Any) -> None:
    assert heat(rule=RULE).properties["rule"] == RULE
    for bad, words in (
        ({"rule": {**RULE, "evnt": 1}}, "evnt: unknown field"),
        ({"rule": {**RULE, "query": [{"field": "state", "op": "like", "value": "x"}]}}, r"query\[0\]"),
        ({}, "Property rule not assigned"),
        ({"rule": RULE, "severity": "worst"}, "severity"),
    ):
        with pytest.raises(exception.StackValidationFailed, match=words):
            heat(**bad)


def test_the_template_of_the_documentation_is_valid(heat: Any) -> None:
    body = yaml.safe_load(documented(0))
    for parameter, value in (("webhook", "http://a/"), ("server", "vm-1")):
        body["parameters"][parameter]["default"] = value
    body["heat_template_version"] = str(body["heat_template_version"])
    assert heat(body).properties["rule"]["resource_id"] == "vm-1"


def test_heat_creates_changes_suspends_and_deletes_the_alarm(
    heat: Any, spawn: Spawn, tmp_path: pathlib.Path, our_sqlite_url: str
) -> None:
    cloud = Cloud(spawn, tmp_path, our_sqlite_url, "fake://")
    cloud.start_api()
    aodh = cloud.client()
    alarm = heat(rule=RULE, severity="critical", alarm_actions=["http://a/"], ok_actions=["http://ok/"])
    # Without Heat's database a resource has no name.
    with mock.patch.multiple(
        type(alarm),
        client=mock.Mock(return_value=aodh),
        physical_resource_name=mock.Mock(return_value="servers-alarm"),
    ):
        alarm.handle_create()
        made = aodh.alarm.get(alarm.resource_id)
        assert (made["type"], made["severity"]) == ("notification", "critical")
        assert made["notification_rule"] == RULE
        assert (made["alarm_actions"], made["repeat_actions"]) == (["http://a/"], False)
        assert made["name"] == "servers-alarm"
        changed = heat(rule=RULE | {"resource_id": "vm-1"}, severity="low")
        alarm.handle_update(changed.t, {}, {"rule": None})
        assert aodh.alarm.get(alarm.resource_id)["notification_rule"]["resource_id"] == "vm-1"
        alarm.handle_suspend()
        assert aodh.alarm.get(alarm.resource_id)["enabled"] is False
        alarm.handle_resume()
        alarm.handle_check()
        alarm.handle_delete()
        assert aodh.alarm.list() == []
    cloud.close()
