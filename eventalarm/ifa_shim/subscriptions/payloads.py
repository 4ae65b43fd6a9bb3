"""What is said to subscribers: one notice for all, its body for each. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from eventalarm.ifa_shim.alarm import IfaAlarm, Severity, rfc3339
from eventalarm.ifa_shim.filter_match import NotificationType, severe, wants
from eventalarm.ifa_shim.render import as_sol003
from eventalarm.model import Delivery, Notification
from eventalarm.storage.outbox import order_key
from eventalarm.storage.subscriptions import Subscription

Document = dict[str, Any]

# The version of SOL003's fault management that is spoken, as its header says it.
VERSION_HEADER: Final = {"Version": "1.3.0"}


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmNotification:
    """That something happened to an alarm (None: to the list of all), at *at*.

    ``notice_id`` is the same in the copies of all subscribers. ``heard`` are the severities that subscribers
    were told in this life of the alarm. Those who subscribed after ``until`` have read of it already.
    """

    notice_id: str
    kind: NotificationType
    alarm: IfaAlarm | None
    at: datetime.datetime
    heard: frozenset[Severity] = frozenset()
    until: datetime.datetime | None = None

    def concerns(self, asked: Mapping[str, Any]) -> bool:
        """Tell whether a subscription with the filter *asked* hears of it."""
        told = next((severity for severity in self.heard if severe(asked, severity)), None)
        return wants(asked, self.kind, self.alarm, told)


@dataclasses.dataclass(frozen=True, slots=True)
class Style:
    """How notifications are written: the root of SOL003's API for links, the name of the VIM connection."""

    root: str = "/vnffm/v1"
    vim_connection_id: str = ""

    def towards(self, to: Subscription) -> Style:
        """Return the style for one subscriber: without a public URL links begin as it reached the API."""
        if self.root.startswith("/") and to.api_root:
            return dataclasses.replace(self, root=to.api_root)
        return self


def body(notice: AlarmNotification, subscription_id: str, style: Style) -> Document:
    """Return SOL003's notification (clauses 7.5.2.5 to 7.5.2.7) for one subscriber."""
    links: Document = {"subscription": {"href": f"{style.root}/subscriptions/{subscription_id}"}}
    found: Document = {
        "id": notice.notice_id,
        "notificationType": notice.kind.value,
        "subscriptionId": subscription_id,
        "timeStamp": rfc3339(notice.at),
    }
    alarm = notice.alarm
    if alarm is None:
        links["alarms"] = {"href": f"{style.root}/alarms"}
    elif notice.kind is NotificationType.CLEARED:
        found |= {"alarmId": alarm.alarm_id, "alarmClearedTime": rfc3339(alarm.cleared_time or notice.at)}
        links["alarm"] = {"href": f"{style.root}/alarms/{alarm.alarm_id}"}
    else:
        found["alarm"] = as_sol003(alarm, root=style.root, vim_connection_id=style.vim_connection_id)
    return found | {"_links": links}


def delivery(notice: AlarmNotification, to: Subscription, delivery_id: str, style: Style) -> Delivery:
    """Return *notice* on its way to one subscriber; those of one alarm to one subscriber stay in order."""
    alarm = notice.alarm
    subject = alarm.alarm_id if alarm is not None else ""
    return Delivery(
        delivery_id=delivery_id,
        order_key=order_key(subject, to.subscription_id),
        alarm_id=alarm.aodh_alarm_id if alarm is not None else "",
        project_id=to.project_id,
        action=to.callback_uri,
        notification=Notification("", subject, None, "", "", notice.kind.value, {}),
        created_at=notice.at,
        subscription_id=to.subscription_id,
        body=json.dumps(body(notice, to.subscription_id, style.towards(to))),
    )


def audience(notice: AlarmNotification, subscribers: Iterable[Subscription]) -> list[Subscription]:
    """Return those of *subscribers* who hear of it."""
    return [
        one
        for one in subscribers
        if one.listening
        and (notice.until is None or one.created_at <= notice.until)
        and notice.concerns(one.filter)
    ]
