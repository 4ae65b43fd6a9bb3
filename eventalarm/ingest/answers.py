"""Sends the answer of a project to an admin tool, as OPNFV Doctor's and Fenix's projects do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from typing import Final

from eventalarm.delivery import action
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.exceptions import DeliveryError
from eventalarm.model import JSONDict

HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json"}
SCHEMES: Final = frozenset({"http", "https"})


class AnswerSender:
    """PUTs answers to reply URLs with the limits, the egress filter and the certificates of webhooks.

    :param token_hosts: the hosts, or hosts with a port, to which the token of the caller may be sent.
    """

    def __init__(self, options: DeliveryOptions, token_hosts: Collection[str]) -> None:
        self._options = options
        self._token_hosts = frozenset(host.strip().lower() for host in token_hosts)

    def send(self, reply_url: str, body: JSONDict, token: str) -> int:
        """Send an answer and return the status of the response, which is 2xx; redirects are not followed.

        :raises DeliveryError: for any other response, and if there is none.
        """
        return asyncio.run(self._put(reply_url, body, token))

    async def _put(self, reply_url: str, body: JSONDict, token: str) -> int:
        url = action.http_url(reply_url)
        if url.scheme not in SCHEMES or not url.host:
            raise DeliveryError("bad_action", "reply_url is not a URL of http or https", permanent=True)
        trusted = {url.host.lower(), f"{url.host}:{url.port}".lower()} & self._token_hosts
        headers = {**HEADERS, "X-Auth-Token": token} if token and trusted else dict(HEADERS)
        http = HttpSender(self._options)
        try:
            return await http.put(url, headers, json.dumps(body).encode())
        finally:
            await http.close()
