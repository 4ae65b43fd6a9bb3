"""Actions ``trust+http`` and ``trust+https``: the token comes from Aodh's code, the POST is eventalarm's.

Aodh's plugin would wait forever for a consumer that hangs, and has no egress filter. Therefore only the part
of it that turns the action into a URL and a token is used.
"""

from __future__ import annotations

import urllib.parse
from typing import Any

from eventalarm.delivery import action
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.base import Destination
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.delivery.threads import Threads
from eventalarm.exceptions import DeliveryError
from eventalarm.model import Delivery

SCHEMES = frozenset({"trust+http", "trust+https"})


class TrustSender:
    """Gets a token of the trust from Keystone in a limited number of threads, then POSTs with it."""

    def __init__(self, conf: Any, options: DeliveryOptions, http: HttpSender) -> None:
        self._conf = conf
        self._http = http
        self._keystone = Threads("keystone", options.plugin_threads, options.total_timeout)

    def destination(self, delivery: Delivery) -> Destination:
        """Return scheme, host and port of the action."""
        return self._http.destination(delivery)

    async def send(self, delivery: Delivery) -> int:
        """POST with a token of the trust that the action names.

        :raises DeliveryError: ``keystone`` if Keystone gives no token, and as :meth:`HttpSender.send`.
        """
        parts = action.split(delivery.action)
        if not parts.username:
            raise DeliveryError("bad_action", "the action must name a trust as its user", permanent=True)
        url, headers = await self._keystone.run(_trusted, self._conf, parts)
        return await self._http.post(action.http_url(url), delivery, headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def _trusted(conf: Any, parts: urllib.parse.SplitResult) -> tuple[str, dict[str, str]]:
    # Imported here: Aodh's Keystone and Heat clients take seconds to import, and few actions need them.
    from aodh.notifier import trust  # noqa: PLC0415

    class Kept:
        """Keeps what Aodh would have posted."""

        def __init__(self) -> None:
            self.conf = conf
            self.kept: tuple[str, dict[str, str]] = ("", {})

        def notify(self, action: Any, *args: Any) -> None:
            self.kept = (action.geturl(), dict(args[-1] or {}))

    class Trusted(trust.TrustAlarmNotifierMixin, Kept):  # type: ignore[misc]
        """Aodh's mixin, which calls ``Kept.notify``."""

    trusted = Trusted()
    try:
        trusted.notify(parts, "", "", "", "", "", "", {})
    except Exception as exc:
        raise DeliveryError("keystone", type(exc).__name__) from exc
    kept: tuple[str, dict[str, str]] = trusted.kept
    return kept
