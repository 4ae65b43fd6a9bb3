"""Builds the notification side of the IFA shim from the options, for one listener process."""

from __future__ import annotations

from typing import Any

from oslo_utils import uuidutils

from eventalarm.conf import GROUP, IFA_GROUP
from eventalarm.delivery.enqueue import OutboxEnqueuer, Worker
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.base import Sender
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.delivery.senders.signer import Signer
from eventalarm.ifa_shim import options
from eventalarm.ifa_shim.actions import Sol003Sender, TackerSender
from eventalarm.ifa_shim.subscriptions import aodh_listener, rights
from eventalarm.ifa_shim.subscriptions.callbacks import Callbacks, SubscriberSender
from eventalarm.ifa_shim.subscriptions.notifications import Style, Subscribers
from eventalarm.ifa_shim.subscriptions.publish import TransitionPublisher
from eventalarm.ifa_shim.subscriptions.reconcile import Reconciler
from eventalarm.ifa_shim.subscriptions.service import LEASE, LEASE_NAME, Notifier, Parts
from eventalarm.ifa_shim.subscriptions.suspend import Patience, Suspension
from eventalarm.storage.database import Database
from eventalarm.storage.leases import LeaderLease
from eventalarm.storage.outbox import Outbox
from eventalarm.storage.subscriptions import Subscriptions
from eventalarm.vault import Vault


def action_senders(conf: Any, http: HttpSender) -> dict[str, Sender]:
    """Return the senders of actions in the formats of ETSI NFV and Tacker, by scheme."""
    settings = options.settings(conf)
    sol003 = Sol003Sender(http, settings, style(conf))
    tacker = TackerSender(http, settings)
    return {
        "sol003+http": sol003,
        "sol003+https": sol003,
        "tacker+http": tacker,
        "tacker+https": tacker,
    }


def style(conf: Any) -> Style:
    """Return how notifications are written."""
    group = conf[IFA_GROUP]
    return Style(f"{group.public_url.rstrip('/')}/vnffm/v1", group.vim_connection_id)


class Notifications:
    """What a listener needs to notify subscribers: a publisher, a sender, and the thread that serves them.

    :raises InvalidOption: when an option cannot be read.
    """

    def __init__(self, conf: Any, database: Database) -> None:
        self._conf = conf
        self._database = database
        self._settings = options.settings(conf)
        self._api = options.api_options(conf)
        self._style = style(conf)
        self._vault = Vault(self._api.callback.credentials_key)
        self._subscribers = Subscribers(Subscriptions(database))
        self.publisher = TransitionPublisher(self._subscribers, self._settings, self._style)

    def sender(self, delivery: DeliveryOptions, signer: Signer | None = None) -> SubscriberSender:
        """Return the sender to subscribers: that of webhooks, with the egress filter of callbacks."""
        http = HttpSender(delivery, egress=self._api.callback.egress, signer=signer)
        return SubscriberSender(self._subscribers, http, self._vault.open)

    def _lease(self) -> LeaderLease:
        skew = self._conf[GROUP].max_clock_skew
        return LeaderLease(self._database, LEASE_NAME, uuidutils.generate_uuid(), LEASE, max_skew=skew)

    def notifier(self, worker: Worker) -> Notifier:
        """Return the thread that serves subscribers, not started yet; *worker* sends for it."""
        group, database = self._conf[IFA_GROUP], self._database
        enqueuer = OutboxEnqueuer(Outbox(database), worker)
        reconciler = Reconciler(
            database,
            enqueuer,
            self._subscribers,
            settings=self._settings,
            style=self._style,
            now=database.about_now,
        )
        suspension = Suspension(
            database,
            enqueuer,
            self._subscribers,
            patience=Patience(group.suspend_after, group.probe_interval, group.subscription_lifetime),
            callbacks=Callbacks(self._api.callback),
            open_secret=self._vault.open,
            renew_secret=self._vault.renewed,
            style=self._style,
            rights=rights.from_conf(self._conf),
        )
        parts = Parts(
            database,
            self._subscribers,
            reconciler,
            suspension,
            self._lease(),
            (lambda: aodh_listener.listen(self._conf, lambda ids: reconciler.look(ids, database.about_now())))
            if group.aodh_notifications
            else None,
            (lambda: aodh_listener.delete_queue(self._conf)) if group.aodh_notifications else None,
        )
        return Notifier(parts, group.reconcile_interval)
