"""The interface of senders, the choice of the sender for an action, and the tracing of attempts."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Final, Protocol

from eventalarm.delivery import action
from eventalarm.exceptions import DeliveryError
from eventalarm.model import Delivery, Stage
from eventalarm.trace import Trace

# The default limit of all projects together, as a multiple of the limit of one project.
TOGETHER: Final = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Destination:
    """Where deliveries go; the deliveries of a project to one destination never delay those to others.

    ``limit`` is the maximum number of concurrent calls of one project to it, ``total`` that of all projects
    together, by default four times as many.
    """

    scheme: str
    host: str
    port: int
    limit: int
    total: int = 0

    def __post_init__(self) -> None:
        """Set the default of ``total``."""
        if not self.total:
            object.__setattr__(self, "total", TOGETHER * self.limit)


class Sender(Protocol):
    """A way to carry out actions."""

    def destination(self, delivery: Delivery) -> Destination:
        """Return where *delivery* goes; never fails, all invalid actions share one destination."""

    async def send(self, delivery: Delivery) -> int | None:
        """Make one attempt; return the HTTP status if there is one.

        :raises eventalarm.exceptions.DeliveryError: when it failed.
        """

    async def close(self) -> None:
        """Close connections and end threads."""


DISABLED: Final = "the scheme is not in [eventalarm_delivery] action_schemes"


class Router:
    """Sends through the one of *senders* that has the scheme of the action, else through *others*.

    Deliveries to subscribers of the IFA API are sent through *subscribers*, whatever their scheme.

    :param enabled: the schemes of actions that are carried out; None: all.
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
        """Return the destination as the responsible sender does."""
        return self._sender(delivery).destination(delivery)

    async def send(self, delivery: Delivery) -> int | None:
        """Send through the responsible sender.

        :raises DeliveryError: ``scheme_disabled`` (permanent) for a scheme that is not enabled, and as the
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


class TracedSender:
    """Sends through *sender*, marking :attr:`Stage.SENT` and :attr:`Stage.ANSWERED` in the trace."""

    def __init__(self, sender: Sender, trace: Trace) -> None:
        self._sender = sender
        self._trace = trace

    def destination(self, delivery: Delivery) -> Destination:
        """Return the destination as the sender does."""
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
