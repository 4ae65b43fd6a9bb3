"""Subscriptions as each listener keeps them in memory, and SOL003's notification for each subscriber."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import sqlalchemy as sa

from eventalarm.delivery.action import destination
from eventalarm.ifa_shim.alarm import IfaAlarm, Severity, alarm_link, as_sol003, rfc3339
from eventalarm.ifa_shim.filter_match import NotificationType, matches, matches_severity
from eventalarm.model import Delivery, Notification
from eventalarm.storage.deliveries import order_key
from eventalarm.storage.subscriptions import Subscription, Subscriptions


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """All subscriptions at one moment; ``newest`` is when the last of them was made or changed."""

    all: tuple[Subscription, ...] = ()
    newest: datetime.datetime | None = None

    def of(self, project_id: str) -> list[Subscription]:
        """Return the subscriptions that cover alarms of a project, suspended ones too."""
        return [one for one in self.all if one.reaches(project_id)]

    def get(self, subscription_id: str) -> Subscription | None:
        """Return the subscription with that id, or None."""
        return next((one for one in self.all if one.subscription_id == subscription_id), None)


class Subscribers:
    """Keeps a snapshot; safe to share between threads, since a snapshot never changes."""

    def __init__(self, store: Subscriptions) -> None:
        self.store = store
        self._snapshot = Snapshot()

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that was read last."""
        return self._snapshot

    def refresh(self, connection: sa.Connection | None = None) -> Snapshot:
        """Read all subscriptions with one statement.

        :raises eventalarm.exceptions.Retryable: when the database failed.
        """
        found = tuple(self.store.everyone(connection))
        newest = max((one.changed_at for one in found if one.changed_at is not None), default=None)
        self._snapshot = Snapshot(found, newest)
        return self._snapshot

    def at_least(self, newest: datetime.datetime | None, connection: sa.Connection) -> Snapshot:
        """Return a snapshot that holds everything made or changed until *newest*; None: there are none.

        Reads only when the snapshot is older than that. Deleted subscriptions can stay in it until the next
        refresh.
        """
        if newest is None:
            return Snapshot()
        snapshot = self._snapshot
        if snapshot.newest is None or newest > snapshot.newest:
            return self.refresh(connection)
        return snapshot


Document = dict[str, Any]

# The version of SOL003's fault management API that notifications follow.
VERSION_HEADER: Final = {"Version": "1.3.0"}


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmNotification:
    """Something happened to an alarm (None: to the whole list), at *at*.

    ``notification_id`` is the same in the copies of all subscribers. ``severities`` are those that
    subscribers were notified of during this occurrence. Those who subscribed after ``until`` are not
    notified: they have read the alarm in the list.
    """

    notification_id: str
    kind: NotificationType
    alarm: IfaAlarm | None
    at: datetime.datetime
    severities: frozenset[Severity] = frozenset()
    until: datetime.datetime | None = None

    def matches(self, wanted: Mapping[str, Any]) -> bool:
        """Return True if the notification matches the filter *wanted* of a subscription."""
        notified = next((one for one in self.severities if matches_severity(wanted, one)), None)
        return matches(wanted, self.kind, self.alarm, notified)


@dataclasses.dataclass(frozen=True, slots=True)
class Style:
    """How notifications are written: the root of SOL003's API for links, the name of the VIM connection."""

    root: str = "/vnffm/v1"
    vim_connection_id: str = ""

    def towards(self, to: Subscription) -> Style:
        """Return the style for one subscriber; without a public URL, links use the URL it subscribed at."""
        if self.root.startswith("/") and to.api_root:
            return dataclasses.replace(self, root=to.api_root)
        return self


def notification_body(notification: AlarmNotification, subscription_id: str, style: Style) -> Document:
    """Return SOL003's notification (clauses 7.5.2.5 to 7.5.2.7) for one subscriber."""
    links: Document = {"subscription": {"href": f"{style.root}/subscriptions/{subscription_id}"}}
    found: Document = {
        "id": notification.notification_id,
        "notificationType": notification.kind.value,
        "subscriptionId": subscription_id,
        "timeStamp": rfc3339(notification.at),
    }
    alarm = notification.alarm
    if alarm is None:
        links["alarms"] = {"href": f"{style.root}/alarms"}
    elif notification.kind is NotificationType.CLEARED:
        cleared_time = rfc3339(alarm.cleared_time or notification.at)
        found |= {"alarmId": alarm.alarm_id, "alarmClearedTime": cleared_time}
        links["alarm"] = {"href": alarm_link(style.root, alarm.alarm_id)}
    else:
        found["alarm"] = as_sol003(alarm, root=style.root, vim_connection_id=style.vim_connection_id)
    return found | {"_links": links}


def to_delivery(
    notification: AlarmNotification, to: Subscription, delivery_id: str, style: Style
) -> Delivery:
    """Return the delivery of *notification* to one subscriber; those of one alarm to it stay in order."""
    alarm = notification.alarm
    subject = alarm.alarm_id if alarm is not None else ""
    return Delivery(
        delivery_id=delivery_id,
        order_key=order_key(subject, to.subscription_id),
        alarm_id=alarm.aodh_alarm_id if alarm is not None else "",
        project_id=to.project_id,
        action=to.callback_uri,
        notification=Notification("", subject, None, "", "", notification.kind.value, {}),
        created_at=notification.at,
        subscription_id=to.subscription_id,
        destination=destination(to.callback_uri),
        body=json.dumps(notification_body(notification, to.subscription_id, style.towards(to))),
    )


def recipients(notification: AlarmNotification, subscriptions: Iterable[Subscription]) -> list[Subscription]:
    """Return those of *subscriptions* that the notification is sent to."""
    return [
        one
        for one in subscriptions
        if one.listening
        and (notification.until is None or one.created_at <= notification.until)
        and notification.matches(one.filter)
    ]
