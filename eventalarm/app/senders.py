"""Builds the senders of alarm actions from the options."""

from __future__ import annotations

import oslo_messaging
from oslo_config import cfg

from eventalarm import bus
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.aodh_topic import AodhTopicSender
from eventalarm.delivery.senders.base import Router, Sender
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.delivery.senders.plugins import PluginSender
from eventalarm.delivery.senders.trust import TrustSender
from eventalarm.ifa_shim.subscriptions import build as build_module
from eventalarm.model import JSONDict


def build_sender(
    conf: cfg.ConfigOpts, settings: DeliveryOptions, subscribers: Sender | None = None
) -> Sender:
    """Return the sender of all actions: eventalarm's senders, or aodh-notifier in the mode ``aodh``.

    *subscribers* sends notifications of subscriptions in both modes.
    """
    if settings.mode == "aodh":
        # The queue belongs to aodh-notifier, so it is declared as Aodh declares it.
        transport = oslo_messaging.get_notification_transport(conf)

        def publish(payload: JSONDict) -> None:
            bus.send(
                transport,
                topic=conf.notifier_topic,
                exchange=conf.control_exchange,
                event_type="alarm.update",
                payload=payload,
            )

        return Router({}, AodhTopicSender(publish, settings), subscribers, settings.action_schemes)
    http = HttpSender(settings)
    trust = TrustSender(conf, settings, http)
    senders: dict[str, Sender] = {"http": http, "https": http, "trust+http": trust, "trust+https": trust}
    senders |= build_module.action_senders(conf, http)
    return Router(senders, PluginSender(conf, settings), subscribers, settings.action_schemes)
