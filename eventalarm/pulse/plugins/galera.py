"""Check ``galera``: each node is in a primary component of the expected size, and serves."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import ClassVar, Final

from eventalarm.exceptions import InvalidOption, Retryable
from eventalarm.pulse.checks import CheckContext, Probe
from eventalarm.pulse.finding import Finding, Health, worst
from eventalarm.pulse.plugins.answers import shortened
from eventalarm.storage.wsrep import UnusableUrl, node_name, wsrep_status

OPTION: Final = "[eventalarm_pulse] galera_urls"
#: Share of the time that flow control may pause writes.
PAUSED: Final = 0.1

Problem = tuple[Health, str, str]


class Galera:
    """The status variables of each node, over a connection of its own."""

    description: ClassVar[str] = "Galera's nodes are ready, in one cluster of the expected size"
    for_tenants: ClassVar[bool] = False

    def __init__(self, context: CheckContext) -> None:
        self._context = context

    def probes(self) -> Iterable[Probe]:
        """Return one probe for each node.

        :raises InvalidOption: when a URL cannot be used.
        """
        urls = [url.strip() for url in self._context.options.galera_urls]
        try:
            nodes = {node_name(url): url for url in urls}
        except UnusableUrl as exc:
            raise InvalidOption(OPTION, str(exc), "write mysql+pymysql://USER:PASSWORD@HOST:3306/") from None
        size = self._context.options.galera_size or (len(nodes) if len(nodes) > 1 else 0)
        return [Probe(name, partial(self._look, name, url, size)) for name, url in nodes.items()]

    def _look(self, name: str, url: str, size: int) -> list[Finding]:
        begun = time.monotonic()
        try:
            status = wsrep_status(url, self._context.timeout)
        except Retryable as exc:
            return [_unreachable(name, str(exc))]
        return [evaluate(name, status, size, time.monotonic() - begun)]


def _unreachable(name: str, problem: str) -> Finding:
    return Finding(
        target=name,
        health=Health.CRITICAL,
        summary=f"{name} does not answer: {shortened(problem)}",
        remedy="start the database there and see its error log; if it refuses the user, correct galera_urls",
        host=_host(name),
    )


def _host(name: str) -> str:
    return name.rpartition(":")[0].strip("[]")


def evaluate(name: str, status: Mapping[str, str], size: int, seconds: float = 0.0) -> Finding:
    """Return what the status variables of a node mean; *size* is the expected one, 0 if there is none."""
    problems = list(_problems(status, size))
    figures = {"seconds": round(seconds, 3), **_figures(status)}
    found = int(figures.get("cluster_size", 0))
    return Finding(
        target=name,
        health=worst(health for health, _, _ in problems),
        summary=f"{name} {'; '.join(text for _, text, _ in problems)}"
        if problems
        else f"{name} is {status['wsrep_local_state_comment']} in a cluster of {found}",
        remedy="; ".join(dict.fromkeys(remedy for _, _, remedy in problems)),
        figures=figures,
        host=_host(name) if problems else "",
    )


def _problems(status: Mapping[str, str], size: int) -> Iterator[Problem]:
    found = _number(status, "wsrep_cluster_size")
    if "wsrep_ready" not in status or not found:
        yield (
            Health.CRITICAL,
            "is not part of a Galera cluster",
            "see wsrep_on and wsrep_cluster_address in its configuration, and its error log",
        )
        return
    if status.get("wsrep_cluster_status") != "Primary":
        yield (
            Health.CRITICAL,
            f"is outside of the primary component ({status.get('wsrep_cluster_status')}): it refuses queries",
            "repair the network between the nodes; if no node is primary, bootstrap from the most advanced "
            "one (SET GLOBAL wsrep_provider_options='pc.bootstrap=1')",
        )
    elif status["wsrep_ready"] != "ON":
        yield Health.CRITICAL, "refuses queries (wsrep_ready is OFF)", "see its error log"
    elif (state := status.get("wsrep_local_state_comment", "")) != "Synced":
        yield (
            Health.WARNING,
            f"is {state}: it lags behind the cluster",
            "wait until the state transfer or backup has ended; if it does not, see its error log",
        )
    if found < size:
        lost_majority = 2 * found <= size
        yield (
            Health.CRITICAL if lost_majority else Health.WARNING,
            f"is in a cluster of {int(found)} instead of {size} nodes",
            "start the missing nodes; if the cluster was made smaller, set [eventalarm_pulse] galera_size",
        )
    if (paused := _number(status, "wsrep_flow_control_paused")) > PAUSED:
        yield (
            Health.WARNING,
            f"has had its writes paused {paused:.0%} of the time by flow control",
            "find the slow node (wsrep_local_recv_queue_avg), then FLUSH STATUS",
        )


def _number(status: Mapping[str, str], name: str) -> float:
    try:
        return float(status[name])
    except (KeyError, ValueError):
        return 0.0


def _figures(status: Mapping[str, str]) -> dict[str, float]:
    names = ("cluster_size", "flow_control_paused", "local_recv_queue_avg")
    return {name: _number(status, f"wsrep_{name}") for name in names if f"wsrep_{name}" in status}
