"""What RabbitMQ's management API says about the nodes of a cluster. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from eventalarm.pulse.finding import Finding, Health, worst

#: Share of file descriptors or sockets from which a node is reported.
NEARLY_ALL: Final = 0.9

Problem = tuple[Health, str, str, str]


class Unreadable(ValueError):
    """The answer has not the form of the management API."""


def nodes(text: str) -> list[dict[str, Any]]:
    """Return the answer to ``GET /api/nodes``.

    :raises Unreadable: if it is something else.
    """
    try:
        listed = json.loads(text)
    except ValueError:
        listed = None
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
        raise Unreadable("no JSON list of nodes")
    if not all("name" in one and "running" in one for one in listed):
        raise Unreadable("nodes without name or running")
    return listed


def totals(text: str) -> dict[str, float]:
    """Return the figures of an answer to ``GET /api/overview``; none if it is something else."""
    try:
        overview = json.loads(text)
        queues, objects = overview["queue_totals"], overview["object_totals"]
        names = {"messages": queues.get("messages", 0), "connections": objects.get("connections", 0)}
        return {name: float(value) for name, value in names.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def evaluate(target: str, listed: Sequence[Mapping[str, Any]], more: Mapping[str, float]) -> Finding:
    """Return what is wrong with the cluster; the host is named if one node only is at fault.

    :param listed: from :func:`nodes`.
    :param more: further figures.
    """
    problems = [problem for node in listed for problem in _problems(node)]
    figures = {**more, **_figures(listed)}
    if not problems:
        summary = f"{_number(listed)} run, without partitions and alarms"
        return Finding(target=target, health=Health.OK, summary=summary, figures=figures)
    problems.sort(key=lambda one: one[0], reverse=True)
    places = {place for health, place, _, _ in problems if health is not Health.OK}
    remedies = dict.fromkeys(remedy for _, _, _, remedy in problems)
    return Finding(
        target=target,
        health=worst(health for health, _, _, _ in problems),
        summary="; ".join(f"{place} {text}" for _, place, text, _ in problems),
        remedy="; ".join(filter(None, remedies)),
        figures=figures,
        host=places.pop().partition("@")[2] if len(places) == 1 else "",
    )


def _problems(node: Mapping[str, Any]) -> Iterator[Problem]:
    name = str(node["name"])
    if not node["running"]:
        remedy = (
            f"start RabbitMQ on {name.partition('@')[2]} and see its log there; if the node was removed for "
        )
        yield Health.CRITICAL, name, "is down", f"{remedy}good: rabbitmqctl forget_cluster_node {name}"
        return
    if apart := node.get("partitions"):
        yield (
            Health.CRITICAL,
            name,
            f"is partitioned from {', '.join(map(str, apart))}",
            "repair the network between the nodes, then restart RabbitMQ on the smaller side; consider "
            "cluster_partition_handling = pause_minority",
        )
    if node.get("mem_alarm"):
        yield (
            Health.CRITICAL,
            name,
            f"has a memory alarm ({_mega(node.get('mem_used'))} of {_mega(node.get('mem_limit'))} used): "
            "publishers are blocked",
            "see which queues grow (rabbitmqctl list_queues name messages) and start their consumers, or "
            "raise vm_memory_high_watermark",
        )
    if node.get("disk_free_alarm"):
        yield (
            Health.CRITICAL,
            name,
            f"has a disk alarm ({_mega(node.get('disk_free'))} free, {_mega(node.get('disk_free_limit'))} "
            "required): publishers are blocked",
            "free space on the disk of RabbitMQ's data",
        )
    for what, used, total in _shares(node):
        if used >= NEARLY_ALL * total:
            text = f"uses {used:.0f} of {total:.0f} {what}"
            yield Health.WARNING, name, text, f"raise the limit of {what}, or see who opens connections"
    if node.get("being_drained"):
        yield Health.OK, name, "is in maintenance", ""


def _shares(node: Mapping[str, Any]) -> Iterator[tuple[str, float, float]]:
    for what, name in (("file descriptors", "fd"), ("sockets", "sockets")):
        used, total = node.get(f"{name}_used"), node.get(f"{name}_total")
        # Some versions do not know the number, and newer ones do not limit sockets.
        if isinstance(used, (int, float)) and isinstance(total, (int, float)) and total > 0:
            yield what, float(used), float(total)


def _figures(listed: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    running = [node for node in listed if node["running"]]
    shares = [used / total for node in running for what, used, total in _shares(node) if what[0] == "f"]
    figures = {"nodes": float(len(listed)), "nodes_running": float(len(running))}
    if shares:
        figures["fd_used_percent"] = round(100 * max(shares), 1)
    memory = [
        node["mem_used"] / node["mem_limit"]
        for node in running
        if isinstance(node.get("mem_used"), (int, float))
        and isinstance(node.get("mem_limit"), (int, float))
        and node["mem_limit"] > 0
    ]
    if memory:
        figures["memory_used_percent"] = round(100 * max(memory), 1)
    return figures


def _number(listed: Sequence[object]) -> str:
    return "1 node" if len(listed) == 1 else f"all {len(listed)} nodes"


def _mega(value: object) -> str:
    return f"{value / 1e6:.0f} MB" if isinstance(value, (int, float)) else "?"
