"""Actions ``trust+http`` and ``trust+https``: Aodh's own Keystone trust code, our own bounded POST.

Aodh's plugin would wait forever for a hung consumer and knows no fence; so of the plugin we use only the
part that turns the action into a URL and a token.
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
    """Asks Keystone for a token of the trust in a bounded number of threads, then posts with it."""

    def __init__(self, conf: Any, options: DeliveryOptions, http: HttpSender) -> None:
        self._conf = conf
        self._http = http
        self._keystone = Threads("keystone", options.plugin_threads, options.total_timeout)

    def destination(self, delivery: Delivery) -> Destination:
        """Return scheme, host and port of the action."""
        return self._http.destination(delivery)

    async def send(self, delivery: Delivery) -> int:
        """POST with a token of the trust that the action names.

        :raises DeliveryError: ``keystone`` when there is no token, and as :meth:`HttpSender.send`.
        """
        parts = action.split(delivery.action)
        if not parts.username:
            raise DeliveryError("bad_action", "it names no trust", permanent=True)
        url, headers = await self._keystone.run(_trusted, self._conf, parts)
        return await self._http.post(action.http_url(url), delivery, headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def _trusted(conf: Any, parts: urllib.parse.SplitResult) -> tuple[str, dict[str, str]]:
    # Imported here: it brings Aodh's Keystone and Heat clients, which take seconds and few actions need.
    from aodh.notifier import trust  # noqa: PLC0415

    class Kept:
        """Keeps what the mixin would have posted."""

        def __init__(self) -> None:
            self.conf = conf
            self.kept: tuple[str, dict[str, str]] = ("", {})

        def notify(self, action: Any, *args: Any) -> None:
            self.kept = (action.geturl(), dict(args[-1] or {}))

    class Trusted(trust.TrustAlarmNotifierMixin, Kept):  # type: ignore[misc]
        """Aodh's mixin in front of it."""

    trusted = Trusted()
    try:
        trusted.notify(parts, "", "", "", "", "", "", {})
    except Exception as exc:
        raise DeliveryError("keystone", type(exc).__name__) from exc
    kept: tuple[str, dict[str, str]] = trusted.kept
    return kept
