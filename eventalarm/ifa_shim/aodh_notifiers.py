"""The actions ``sol003+…``, ``tacker+…`` and ``cloudevents+http(s)`` as plugins of Aodh's notifier.

Aodh's API accepts their schemes once they are installed. They are sent with the TLS options of Aodh's own
``http`` notifier.
"""

from __future__ import annotations

import datetime
import json
from typing import Any, Final

import requests
from aodh import notifier
from oslo_config import cfg
from oslo_utils import uuidutils

from eventalarm.conf import IFA_GROUP, IFA_OPTS
from eventalarm.delivery.action import without_prefix
from eventalarm.delivery.senders import cloudevents
from eventalarm.ifa_shim import actions, options
from eventalarm.ifa_shim.subscriptions.notifications import VERSION_HEADER, Style
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import UTC, Notification

TIMEOUT: Final = 10.0


class _Notifier(notifier.AlarmNotifier):  # type: ignore[misc]
    """Base of the notifiers; reads ``[eventalarm_ifa]`` from Aodh's configuration, if it is set there."""

    def __init__(self, conf: Any) -> None:
        super().__init__(conf)
        self._settings = _settings(conf)

    def _post(self, url: str, body: Any, headers: dict[str, str] | None = None) -> None:
        conf = self.conf
        verify: Any = conf.rest_notifier_ssl_verify
        if verify and conf.rest_notifier_ca_bundle_certificate_path:
            verify = conf.rest_notifier_ca_bundle_certificate_path
        certificate, key = conf.rest_notifier_certificate_file, conf.rest_notifier_certificate_key
        answer = requests.post(
            url,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **(headers or {})},
            timeout=TIMEOUT,
            allow_redirects=False,
            verify=verify,
            cert=(certificate, key) if certificate and key else certificate or None,
        )
        answer.raise_for_status()


class Sol003Notifier(_Notifier):
    """``sol003+http`` and ``sol003+https``."""

    def notify(self, action: Any, *fields: Any) -> None:
        """Send a notification; *fields* are the arguments that Aodh passes to every notifier."""
        body = actions.sol003_notification(
            _notification(fields), _now(), uuidutils.generate_uuid(), self._settings, Style()
        )
        self._post(without_prefix(action.geturl()), body, VERSION_HEADER)


class TackerNotifier(_Notifier):
    """``tacker+http`` and ``tacker+https``."""

    def notify(self, action: Any, *fields: Any) -> None:
        """Send a notification; *fields* are the arguments that Aodh passes to every notifier."""
        url, bodies = actions.tacker_notifications(
            action.geturl(), _notification(fields), _now(), self._settings
        )
        for body in bodies:
            self._post(url, body)


class CloudEventsNotifier(_Notifier):
    """``cloudevents+http`` and ``cloudevents+https``."""

    def notify(self, action: Any, *fields: Any) -> None:
        """Send a CloudEvent; *fields* are the arguments that Aodh passes to every notifier."""
        notification = _notification(fields)
        headers = cloudevents.headers(notification, uuidutils.generate_uuid(), _now())
        self._post(without_prefix(action.geturl()), notification.body(), headers)


def _settings(conf: Any) -> Settings:
    if IFA_GROUP not in conf:
        conf.register_opts(IFA_OPTS, group=IFA_GROUP)
    try:
        return options.settings(conf)
    except cfg.NoSuchOptError:
        # Aodh's processes may not have our group [eventalarm].
        return Settings()


def _notification(fields: Any) -> Notification:
    alarm_id, name, severity, previous, current, reason, data = fields
    return Notification(name, alarm_id, severity, previous, current, reason or "", data or {})


def _now() -> datetime.datetime:
    return datetime.datetime.now(UTC)
