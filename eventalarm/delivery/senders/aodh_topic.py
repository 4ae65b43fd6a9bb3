"""``mode = aodh``: actions are published on the topic of aodh-notifier, which carries them out."""

from __future__ import annotations

from collections.abc import Callable

from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.base import Destination
from eventalarm.delivery.threads import Threads
from eventalarm.exceptions import DeliveryError, MessageTooLarge, PublishError
from eventalarm.model import Delivery, JSONDict

EVENT_TYPE = "alarm.update"

# Sends the payload of one ``alarm.update`` sample; raises PublishError or MessageTooLarge.
Publish = Callable[[JSONDict], None]


class AodhTopicSender:
    """Publishes each delivery; it counts as delivered when the broker accepted it."""

    def __init__(self, publish: Publish, options: DeliveryOptions) -> None:
        self._publish = publish
        threads = options.plugin_threads
        self._destination = Destination("aodh-notifier", "", 0, max(1, threads // 2), threads)
        self._threads = Threads("aodh-notifier", options.plugin_threads, options.total_timeout)

    def destination(self, delivery: Delivery) -> Destination:
        """Return the broker, whatever the action is."""
        return self._destination

    async def send(self, delivery: Delivery) -> None:
        """Publish the notification as Aodh's evaluator does.

        :raises DeliveryError: ``publish`` if the broker did not accept it, ``too_large`` (permanent) if it
            rejects its size.
        """
        payload = {"actions": [delivery.action], **delivery.notification.body()}
        try:
            await self._threads.run(self._publish, payload)
        except PublishError as exc:
            raise DeliveryError("publish", "the broker did not accept the message") from exc
        except MessageTooLarge as exc:
            raise DeliveryError("too_large", "the broker rejects its size", permanent=True) from exc

    async def close(self) -> None:
        """Do nothing."""
