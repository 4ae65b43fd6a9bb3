"""Bodies that monitors send, as their documentation and source define them.

No monitor runs in the tests. Alertmanager: ``template.Data`` and ``notify/webhook``, version 4. collectd:
``format_json_notification``. Zabbix: the parameters of the media type in our documentation.
"""

from __future__ import annotations

import json
from typing import Any

STARTED = "2026-11-20T23:01:36.123456789Z"
ENDED = "2026-11-20T23:11:36.5Z"
# What Go writes for a time that is not set.
NEVER = "0001-01-01T00:00:00Z"


def alert(name: str = "HostDown", ended: bool = False, **labels: str) -> dict[str, Any]:
    """Return one alert of a webhook of Alertmanager."""
    return {
        "status": "resolved" if ended else "firing",
        "labels": {"alertname": name, "instance": "compute0:9100", "severity": "critical", **labels},
        "annotations": {"summary": "Host does not answer", "runbook_url": "http://wiki/host"},
        "startsAt": STARTED,
        "endsAt": ENDED if ended else NEVER,
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up+%3D%3D+0",
        "fingerprint": f"{name}-{'-'.join(labels.values())}"[:64],
    }


def alertmanager(*alerts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a webhook of Alertmanager."""
    return {
        "receiver": "eventalarm",
        "status": "firing",
        "alerts": list(alerts),
        "groupLabels": {"alertname": "HostDown"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "version": "4",
        "groupKey": '{}:{alertname="HostDown"}',
        "truncatedAlerts": 0,
        **changes,
    }


def zabbix(ended: bool = False, **changes: Any) -> dict[str, Any]:
    """Return the webhook of a problem of Zabbix; all its parameters are strings."""
    return {
        "event_id": "4711",
        "event_value": "0" if ended else "1",
        "event_name": "Linux: Unavailable by ICMP ping",
        "host": "compute0",
        "nseverity": "4",
        "timestamp": "1795215696",
        "recovery_timestamp": "1795216296" if ended else "{EVENT.RECOVERY.TIMESTAMP}",
        "trigger_id": "99",
        "opdata": "Down (0)",
        "tags": json.dumps([{"tag": "scope", "value": "availability"}, {"tag": "scope", "value": "other"}]),
        **changes,
    }


def collectd(severity: str = "FAILURE", at: str = STARTED, **labels: str) -> list[dict[str, Any]]:
    """Return a notification of collectd."""
    return [
        {
            "labels": {
                "alertname": "collectd_interface_if_octets",
                "instance": "compute0",
                "interface": "eth0",
                "service": "collectd",
                **labels,
            },
            "annotations": {
                "severity": severity,
                "summary": "Host compute0, plugin interface",
                "FailureMax": "1",
            },
            "startsAt": at,
            **({"endsAt": at} if severity == "OKAY" else {}),
        }
    ]
