"""Facts about Aodh's alarms that several rooms share; each stands here once.

Alarm types are the words of Aodh's ``alarm.type``; severities those of ``alarm.severity``.
"""

from __future__ import annotations

from typing import Final

EVENT_TYPE: Final = "event"
NOTIFICATION_TYPE: Final = "notification"
# The types whose rule is about events: eventalarm evaluates them.
EVENT_TYPES: Final = frozenset({EVENT_TYPE, NOTIFICATION_TYPE})
# The types that Aodh's own evaluators evaluate.
OTHER_TYPES: Final = (
    "composite",
    "gnocchi_aggregation_by_metrics_threshold",
    "gnocchi_aggregation_by_resources_threshold",
    "gnocchi_resources_threshold",
    "loadbalancer_member_health",
    "prometheus",
)

# The X.733 severity of each of Aodh's, unless the operator decides otherwise.
SEVERITIES: Final = {"critical": "CRITICAL", "moderate": "MAJOR", "low": "WARNING"}

# The traits that may name the managed object of an event, the best first.
RESOURCE_TRAITS: Final = (
    "resource_id",
    "instance_id",
    "server_id",
    "volume_id",
    "port_id",
    "share_id",
    "hostname",
    "host",
)
