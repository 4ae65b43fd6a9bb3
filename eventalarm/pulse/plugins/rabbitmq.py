"""Check ``rabbitmq``: nodes, partitions and alarms by the management API."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import ClassVar, Final

from eventalarm.pulse.checks import CheckContext, Probe
from eventalarm.pulse.finding import Finding
from eventalarm.pulse.plugins import rabbitmq_nodes
from eventalarm.pulse.plugins.answers import Failure, failure, host_of, refusal, unreadable
from eventalarm.pulse.plugins.http_url import require_http
from eventalarm.pulse.plugins.web import Web

OPTION: Final = "[eventalarm_pulse] rabbitmq_urls"
OVERVIEW: Final = "/api/overview"


class RabbitMQ:
    """The list of nodes, and if it is well the totals of messages, from each management API."""

    description: ClassVar[str] = "RabbitMQ's nodes run, without partitions, memory alarms and disk alarms"
    for_tenants: ClassVar[bool] = False

    def __init__(self, context: CheckContext) -> None:
        self._context = context

    def probes(self) -> Iterable[Probe]:
        """Return one probe for each URL.

        :raises InvalidOption: when one cannot be read.
        """
        urls = [url.strip().rstrip("/") for url in self._context.options.rabbitmq_urls]
        for url in urls:
            require_http(OPTION, url)
        if not urls:
            return []
        web = Web(self._context.options.cafile or True)
        return [Probe(host_of(url), partial(self._look, web, url)) for url in urls]

    def _look(self, web: Web, url: str) -> list[Finding]:
        target, place = host_of(url), f"{url}/api/nodes"
        # Both requests together may take as long as one.
        found = web.get(f"{url}/api/nodes", self._context.timeout / 2)
        if isinstance(found, Failure):
            return [failure(target, place, found)]
        if found.status != 200:
            return [refusal(target, place, found)]
        try:
            nodes = rabbitmq_nodes.nodes(found.text)
        except rabbitmq_nodes.Unreadable as exc:
            return [unreadable(target, place, str(exc))]
        more = {"seconds": round(found.seconds, 3)}
        overview = web.get(f"{url}{OVERVIEW}", self._context.timeout / 2)
        if not isinstance(overview, Failure) and overview.status == 200:
            more |= rabbitmq_nodes.totals(overview.text)
        return [rabbitmq_nodes.evaluate(target, nodes, more)]
