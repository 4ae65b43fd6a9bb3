"""The ``notification`` alarm type inside Aodh: validated by its API, ignored by its periodic evaluator."""

from __future__ import annotations

from typing import Any

import pecan
from aodh import evaluator
from aodh.api.controllers.v2 import base
from wsme import types as wtypes

from eventalarm import conf as options
from eventalarm import tacker_action
from eventalarm.evaluator.notification_rule import parse
from eventalarm.evaluator.options import rule_limits
from eventalarm.exceptions import InvalidRule


class NotificationRuleType(wtypes.UserType):  # type: ignore[misc]
    """The attribute ``notification_rule`` of an alarm: a JSON object, stored as given.

    It is validated together with its alarm, by the function that the evaluator uses to parse it. The limits
    are those of ``[eventalarm]`` in the configuration of Aodh's API.
    """

    basetype = wtypes.text
    name = "notification_rule"

    @staticmethod
    def validate(value: Any) -> Any:
        """Accept anything: WSME calls this before the alarm is complete."""
        return value

    @staticmethod
    def frombasetype(value: Any) -> Any:
        """Accept anything; see :meth:`validate`."""
        return value

    @staticmethod
    def validate_alarm(alarm: Any) -> None:
        """Validate an alarm that is created or updated.

        :raises aodh.api.controllers.v2.base.ClientSideError: naming the field and the remedy; HTTP 400.
        """
        conf = pecan.request.cfg
        options.register_opts(conf)
        group = conf[options.GROUP]
        try:
            parse(
                alarm.notification_rule,
                rule_limits(group),
                require_resource_id=group.require_resource_id,
            )
        except InvalidRule as exc:
            raise base.ClientSideError(f"notification_rule: {exc}") from exc
        for kind in ("alarm_actions", "ok_actions", "insufficient_data_actions"):
            for action in getattr(alarm, kind) or ():
                if problem := tacker_action.problem(str(action)):
                    raise base.ClientSideError(f"{kind}: {action}: {problem}")

    @staticmethod
    def create_hook(alarm: Any) -> None:
        """Do nothing: creating an alarm needs no further action."""

    @staticmethod
    def update_hook(alarm: Any) -> None:
        """Do nothing: updating an alarm needs no further action."""

    @staticmethod
    def __call__(**rule: Any) -> dict[str, Any]:
        """Return a rule from the database unchanged."""
        return rule


# The object of the entry point: Aodh expects an instance where a rule has no fixed attributes.
notification_rule = NotificationRuleType()


class NotificationEvaluator(evaluator.Evaluator):  # type: ignore[misc]
    """Leaves ``notification`` alarms to the listener; without it aodh-evaluator warns about each of them."""

    def evaluate(self, alarm: Any) -> None:
        """Do nothing: the listener evaluates the alarm when an event arrives."""
