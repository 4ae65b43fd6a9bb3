"""Stock Aodh's own event evaluator with its alarms in its cache, used only to match."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import oslo_messaging
from aodh import service
from aodh.evaluator import event as aodh_event
from aodh.storage import models
from oslo_utils import timeutils

from benchmarks import core
from eventalarm.trial.own_cloud.load import workload


class _Counting(aodh_event.EventAlarmEvaluator):  # type: ignore[misc]
    """Counts the alarms that would fire."""

    fired = 0

    def _fire_alarm(self, alarm: Any, event: Any) -> None:
        self.fired += 1


def matcher(alarms: int, shape: str) -> Callable[[Sequence[Any]], int]:
    """Return Aodh's evaluation of events up to the decision; logging has its defaults, but no handler."""
    conf = service.prepare_service(argv=["--log-file", os.devnull], config_files=[])
    # The first call registers the option, the second one sets it for all users of the module.
    oslo_messaging.get_notification_transport(conf, "fake://")
    conf.set_override("transport_url", "fake://")
    evaluator = _Counting(conf)
    # The cache never expires, since loading is not what is measured.
    conf.set_override("event_alarm_cache_ttl", 10**9)
    now = timeutils.utcnow()
    made = [_alarm(number, shape, now) for number in range(alarms)]
    evaluator.caches[core.PROJECT] = {
        "alarms": {one.alarm_id: aodh_event.Alarm(one) for one in made},
        "updated": now,
    }

    def match(events: Sequence[Any]) -> int:
        before = evaluator.fired
        evaluator.evaluate_events(list(events))
        return evaluator.fired - before

    return match


def _alarm(number: int, shape: str, now: Any) -> Any:
    return models.Alarm(
        alarm_id=workload.alarm_id_of(core.PROJECT, workload.resource_name(number)),
        type="event",
        enabled=True,
        name="",
        description="",
        timestamp=now,
        user_id="",
        project_id=core.PROJECT,
        state="ok",
        state_timestamp=now,
        state_reason="",
        ok_actions=[],
        alarm_actions=[],
        insufficient_data_actions=[],
        repeat_actions=True,
        rule=core.rule_of(number, shape),
        time_constraints=[],
        severity="low",
    )
