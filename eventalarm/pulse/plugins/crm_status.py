"""The XML of pacemaker's ``crm_mon``, of every age. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator

from eventalarm.pulse.finding import Finding, Health


class Unreadable(ValueError):
    """The text is not the XML of crm_mon."""


def parse(text: str) -> ET.Element:
    """Return the document, whose root is ``pacemaker-result``, or ``crm_mon`` of older versions.

    :raises Unreadable: if it is something else.
    """
    start = text.find("<")
    if start < 0 or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise Unreadable("no XML of crm_mon")
    try:
        # Older versions print warnings before it.
        root = ET.fromstring(text[start:].strip())  # noqa: S314 - see above
    except ET.ParseError as exc:
        raise Unreadable(f"no XML of crm_mon: {exc}") from None
    if root.tag not in ("pacemaker-result", "crm_mon"):
        raise Unreadable(f"XML with the root {root.tag}")
    return root


def problem(root: ET.Element) -> str:
    """Return why crm_mon has no status, such as a cluster that does not run here; empty if it has."""
    if root.find("nodes") is not None:
        return ""
    texts = [error.text or "" for error in root.iter("error")]
    status = root.find("status")
    return " ".join(texts[-1:] or [status.get("message", "") if status is not None else ""]) or "no status"


def evaluate(root: ET.Element) -> list[Finding]:
    """Return a finding for the cluster, each of its nodes and each of its resources."""
    nodes, resources = _nodes(root), _resources(root)
    online = sum(node.get("online") == "true" for node in nodes)
    figures = {
        "nodes": float(len(nodes)),
        "nodes_online": float(online),
        "resources": float(len(resources)),
    }
    found = [_cluster(root, figures), *map(_node, nodes)]
    return found + [_resource(name, of_name) for name, of_name in resources.items()]


def _nodes(root: ET.Element) -> list[ET.Element]:
    return root.findall("nodes/node")


def _cluster(root: ET.Element, figures: dict[str, float]) -> Finding:
    dc = root.find("summary/current_dc")
    options = root.find("summary/cluster_options")
    if dc is not None and dc.get("present") == "true" and dc.get("with_quorum") == "true":
        health, summary, remedy = Health.OK, f"quorum, coordinated by {dc.get('name')}", ""
        if options is not None and options.get("maintenance-mode") == "true":
            summary += ", in maintenance"
    elif dc is not None and dc.get("present") == "true":
        health, summary = Health.CRITICAL, "no quorum: resources are stopped or frozen"
        remedy = "start the missing nodes (pcs cluster start), and check the network between them"
    else:
        health, summary = Health.CRITICAL, "no coordinator: nobody starts and moves resources"
        remedy = "start pacemaker on the nodes (pcs cluster start --all), and see its log"
    return Finding(target="cluster", health=health, summary=summary, remedy=remedy, figures=figures)


def _node(node: ET.Element) -> Finding:
    name = node.get("name", "?")
    health, state, remedy = _node_state(node, name)
    return Finding(
        target=f"node {name}",
        health=health,
        summary=f"{name} is {state}",
        remedy=remedy,
        figures={"resources": float(node.get("resources_running") or 0)},
        host=name,
    )


def _node_state(node: ET.Element, name: str) -> tuple[Health, str, str]:
    def has(attribute: str) -> bool:
        return node.get(attribute) == "true"

    if has("unclean"):
        return Health.CRITICAL, "unclean: it must be fenced", "see why fencing fails: stonith_admin --history"
    if not has("online"):
        return Health.CRITICAL, "offline", f"start the host, then: pcs cluster start {name}"
    if has("maintenance"):
        return Health.OK, "in maintenance", ""
    if has("standby") or has("standby_onfail"):
        return (
            Health.WARNING,
            "in standby: it runs no resources",
            f"when it is ready: pcs node unstandby {name}",
        )
    if has("pending"):
        return Health.WARNING, "pending: it is joining", f"if it lasts, see the log of pacemaker on {name}"
    return Health.OK, "online", ""


def _resources(root: ET.Element) -> dict[str, list[ET.Element]]:
    """Return the instances of each resource by its name; those of clones have names with a number."""
    found: dict[str, list[ET.Element]] = {}
    for resource in root.iterfind("resources//resource"):
        found.setdefault(resource.get("id", "?").partition(":")[0], []).append(resource)
    return found


def _resource(name: str, instances: list[ET.Element]) -> Finding:
    failed = [one for one in instances if _is(one, "failed") and not _is(one, "failure_ignored")]
    blocked = [one for one in instances if _is(one, "blocked")]
    active = [one for one in instances if _is(one, "active")]
    stopped = not active and not _wanted_stopped(instances)
    bad = failed or blocked
    places = sorted(set(_places(bad or instances)))
    where = f" on {', '.join(places)}" if places else ""
    cleanup = f"repair its cause, which crm_mon --failures shows, then: pcs resource cleanup {name}"
    if failed:
        summary, remedy = f"{name} failed{where}", cleanup
    elif blocked:
        summary, remedy = f"{name} is blocked{where}: pacemaker can neither stop nor move it", cleanup
    elif stopped:
        summary, remedy = f"{name} runs nowhere", f"see why: pcs resource debug-start {name}"
    else:
        summary, remedy = f"{name} runs{where}" if active else f"{name} is switched off", ""
    return Finding(
        target=f"resource {name}",
        health=Health.CRITICAL if remedy else Health.OK,
        summary=summary,
        remedy=remedy,
        figures={"active": float(len(active)), "failed": float(len(failed))},
        host=places[0] if bad and len(places) == 1 else "",
    )


def _is(element: ET.Element, attribute: str) -> bool:
    return element.get(attribute) == "true"


def _wanted_stopped(instances: Iterable[ET.Element]) -> bool:
    """Return True if an operator stopped the resource, or pacemaker does not manage it."""
    return any(one.get("target_role") == "Stopped" or one.get("managed") == "false" for one in instances)


def _places(instances: Iterable[ET.Element]) -> Iterator[str]:
    for instance in instances:
        for node in instance.findall("node"):
            yield node.get("name", "?")
