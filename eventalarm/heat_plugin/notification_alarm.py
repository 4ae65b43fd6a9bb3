"""``OS::EventAlarm::NotificationAlarm``: an alarm with a notification rule as a resource of Heat.

Heat imports this module by itself, as ``heat.engine.plugins.notification_alarm``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heat.common import exception
from heat.engine import properties
from heat.engine.resources import alarm_base
from heat.engine.resources.openstack.aodh import alarm as aodh_alarm

from eventalarm.evaluator.decide import NOTIFICATION_TYPE
from eventalarm.evaluator.notification_rule import parse
from eventalarm.exceptions import EventAlarmError

RULE = "rule"
# Heat's other alarms call their actions at every match by default; this one does as Aodh does.
REPEAT = properties.Schema(
    properties.Schema.BOOLEAN,
    "True to call the actions for every matching event, also while the state does not change.",
    default="false",
    update_allowed=True,
)


class NotificationAlarm(aodh_alarm.AodhBaseActionsMixin, alarm_base.BaseAlarm):
    """An alarm that eventalarm raises and clears when events arrive, by a notification rule.

    The rule is checked when the template is validated, except for values that are known only when other
    resources exist; Aodh's API checks it again.
    """

    alarm_type = NOTIFICATION_TYPE
    PROPERTIES = (RULE,)

    properties_schema = {
        **alarm_base.common_properties_schema,
        alarm_base.REPEAT_ACTIONS: REPEAT,
        RULE: properties.Schema(
            properties.Schema.MAP,
            "The notification rule: event_type, query, clear, group_by and the other fields.",
            required=True,
            update_allowed=True,
        ),
    }

    def get_alarm_props(self, props: Mapping[str, Any]) -> dict[str, Any]:
        """Return the alarm as Aodh's API accepts it; properties that are not set are left out."""
        alarm = {name: value for name, value in self.actions_to_urls(props).items() if value is not None}
        rule = alarm.pop(RULE)
        return alarm | {"type": self.alarm_type, f"{self.alarm_type}_rule": rule}

    def validate(self) -> None:
        """Check the properties, and the rule as far as its values are known.

        :raises StackValidationFailed: naming the field of the rule and the remedy.
        """
        super().validate()
        rule = self.properties[RULE]
        if not rule or not _known(rule):
            return
        try:
            parse(rule)
        except EventAlarmError as exc:
            raise exception.StackValidationFailed(message=f"Property {RULE}: {exc}") from exc


def _known(value: Any) -> bool:
    """Return True unless a value inside is still to be resolved: Heat then returns None for it."""
    if isinstance(value, dict):
        return all(_known(one) for one in value.values())
    if isinstance(value, list):
        return all(_known(one) for one in value)
    return value is not None


def resource_mapping() -> dict[str, type]:
    """Return the resource types of this module; Heat calls it."""
    return {"OS::EventAlarm::NotificationAlarm": NotificationAlarm}
