"""What the nodes of RabbitMQ report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventalarm.pulse.finding import Health
from eventalarm.pulse.plugins.rabbitmq_nodes import Unreadable, evaluate, nodes, totals


def node(name: str = "rabbit@a", **changes: Any) -> dict[str, Any]:
    fine = {"running": True, "partitions": [], "mem_alarm": False, "disk_free_alarm": False}
    sizes = {"mem_used": 10e6, "mem_limit": 100e6, "disk_free": 9e6, "disk_free_limit": 5e6}
    return {"name": name, **fine, **sizes, "fd_used": 50, "fd_total": 1000, **changes}


@pytest.mark.parametrize(
    ("changes", "health", "text"),
    [
        ({}, Health.OK, "1 node run"),
        ({"running": False}, Health.CRITICAL, "rabbit@a is down"),
        ({"partitions": ["rabbit@b"]}, Health.CRITICAL, "partitioned from rabbit@b"),
        ({"mem_alarm": True}, Health.CRITICAL, "memory alarm (10 MB of 100 MB used)"),
        ({"disk_free_alarm": True}, Health.CRITICAL, "disk alarm (9 MB free, 5 MB required)"),
        ({"fd_used": 950}, Health.WARNING, "uses 950 of 1000 file descriptors"),
        ({"fd_used": 1, "fd_total": 0}, Health.OK, ""),
        ({"fd_used": "unknown", "fd_total": "unknown"}, Health.OK, ""),
        ({"being_drained": True}, Health.OK, "maintenance"),
    ],
)
def test_of_one_node(changes: dict[str, Any], health: Health, text: str) -> None:
    found = evaluate("c:15672", [node(**changes)], {})
    assert found.health is health
    assert text in found.summary
    assert bool(found.remedy) == found.failed
    assert found.host == ("a" if found.failed else "")


def test_the_worst_comes_first_and_the_host_is_named_if_there_is_one() -> None:
    listed = [node(fd_used=950), node("rabbit@b", running=False), node("rabbit@c")]
    found = evaluate("c:15672", listed, {"messages": 3.0})
    assert found.health is Health.CRITICAL
    assert found.summary == "rabbit@b is down; rabbit@a uses 950 of 1000 file descriptors"
    assert found.host == ""
    assert found.figures == {
        "messages": 3.0,
        "nodes": 3.0,
        "nodes_running": 2.0,
        "fd_used_percent": 95.0,
        "memory_used_percent": 10.0,
    }


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1]", '[{"name": "a"}]', "<html>"])
def test_another_form_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        nodes(text)


def test_totals_are_optional() -> None:
    overview = {"queue_totals": {"messages": 7}, "object_totals": {"connections": 2}}
    assert totals(json.dumps(overview)) == {"messages": 7.0, "connections": 2.0}
    assert [totals(text) for text in ("", "[]", "{}", '{"queue_totals": [], "object_totals": 1}')] == [{}] * 4
