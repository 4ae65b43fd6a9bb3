"""Which sender carries out an action: decided by its scheme, as in Aodh."""

from __future__ import annotations

from collections.abc import Mapping

from eventalarm.delivery import action
from eventalarm.delivery.ports import Destination, Sender
from eventalarm.model import Delivery


class Router:
    """Sends by scheme through *senders*; the schemes that they do not name go to *others*."""

    def __init__(self, senders: Mapping[str, Sender], others: Sender) -> None:
        self._senders = dict(senders)
        self._others = others

    def destination(self, delivery: Delivery) -> Destination:
        """Ask the sender in charge."""
        return self._sender(delivery).destination(delivery)

    async def send(self, delivery: Delivery) -> int | None:
        """Send through the sender in charge.

        :raises DeliveryError: as that sender does.
        """
        return await self._sender(delivery).send(delivery)

    async def close(self) -> None:
        """Close each sender once."""
        for sender in {id(s): s for s in (*self._senders.values(), self._others)}.values():
            await sender.close()

    def _sender(self, delivery: Delivery) -> Sender:
        return self._senders.get(action.scheme(delivery.action), self._others)
