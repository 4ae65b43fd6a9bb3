"""A sender that is watched: tells when an attempt begins and when its answer is there."""

from __future__ import annotations

from eventalarm.delivery.ports import Destination, Sender
from eventalarm.model import Delivery
from eventalarm.trace import Stage, Trace


class TracedSender:
    """Passes everything on to *sender* and marks :attr:`Stage.SENT` and :attr:`Stage.ANSWERED`."""

    def __init__(self, sender: Sender, trace: Trace) -> None:
        self._sender = sender
        self._trace = trace

    def destination(self, delivery: Delivery) -> Destination:
        """Ask the sender."""
        return self._sender.destination(delivery)

    async def send(self, delivery: Delivery) -> int | None:
        """Make one attempt; only a successful one counts as answered.

        :raises eventalarm.exceptions.DeliveryError: as the sender does.
        """
        if delivery.subscription_id:
            return await self._sender.send(delivery)
        message_id = str(delivery.notification.reason_data["event"]["message_id"])
        self._trace.mark(Stage.SENT, message_id)
        status = await self._sender.send(delivery)
        self._trace.mark(Stage.ANSWERED, message_id)
        return status

    async def close(self) -> None:
        """Close the sender."""
        await self._sender.close()
