"""Which sender carries out an action: decided by its scheme, as in Aodh."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from eventalarm.delivery import action
from eventalarm.delivery.ports import Destination, Sender
from eventalarm.exceptions import DeliveryError
from eventalarm.model import Delivery

DISABLED: Final = "its scheme is not in [eventalarm_delivery] action_schemes"


class Router:
    """Sends by scheme through *senders*; the schemes that they do not name go to *others*.

    What goes to a subscriber of the IFA API goes through *subscribers*, whatever its scheme.

    :param enabled: the schemes of actions that are carried out at all; None: every scheme.
    """

    def __init__(
        self,
        senders: Mapping[str, Sender],
        others: Sender,
        subscribers: Sender | None = None,
        enabled: Collection[str] | None = None,
    ) -> None:
        self._enabled = enabled
        self._senders = dict(senders)
        self._others = others
        self._subscribers = subscribers

    def destination(self, delivery: Delivery) -> Destination:
        """Ask the sender in charge."""
        return self._sender(delivery).destination(delivery)

    async def send(self, delivery: Delivery) -> int | None:
        """Send through the sender in charge.

        :raises DeliveryError: ``scheme_disabled`` (permanent) for a scheme that is not enabled, and as that
            sender does.
        """
        scheme = action.scheme(delivery.action)
        if self._enabled is not None and not delivery.subscription_id and scheme not in self._enabled:
            raise DeliveryError("scheme_disabled", DISABLED, permanent=True)
        return await self._sender(delivery).send(delivery)

    async def close(self) -> None:
        """Close each sender once."""
        every = (*self._senders.values(), self._others, *filter(None, [self._subscribers]))
        for sender in {id(s): s for s in every}.values():
            await sender.close()

    def _sender(self, delivery: Delivery) -> Sender:
        if delivery.subscription_id and self._subscribers is not None:
            return self._subscribers
        return self._senders.get(action.scheme(delivery.action), self._others)
