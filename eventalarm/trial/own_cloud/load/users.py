"""The users: they create alarms through the Aodh API, fire them immediately, edit them, and fire again."""

from __future__ import annotations

import datetime
import itertools
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventalarm.trial.history.records import Alarm, Edit, History
from eventalarm.trial.own_cloud.load import workload
from eventalarm.trial.own_cloud.load.runners import LOOK, Committed, Publisher
from eventalarm.trial.own_cloud.load.workload import FAULT


class Users(threading.Thread):
    """Creates alarms through the Aodh API, publishes their events at once, edits them and publishes again.

    An alarm that the API could not create, while its database is away, gets no event, since nothing was
    promised. An edit without an answer is recorded as one: it may have been made.
    """

    KINDS = ("rename", "retarget", "disable", "delete", "none", "none")

    def __init__(
        self,
        client: Callable[[str], Any],
        publisher: Publisher,
        committed: Committed,
        history: History,
        *,
        projects: Sequence[str],
        actions: Sequence[str],
        seed: int,
        rate: float,
    ) -> None:
        super().__init__(name="users", daemon=True)
        self._client = client
        self._publisher = publisher
        self._committed = committed
        self._history = history
        self._projects = projects
        self._actions = actions
        self._chance = random.Random(f"{seed} users")
        self._rate = rate
        self._base = workload.template()
        self._over = threading.Event()
        self.created = self.refused = 0

    def finish(self) -> None:
        """Let the current story end and begin no further one."""
        self._over.set()
        self.join(120)

    def run(self) -> None:
        """Work until stopped; called by ``start``."""
        for number in itertools.count():
            if self._over.wait(self._chance.expovariate(self._rate)):
                return
            self._user(number)

    def _spec(self, number: int) -> workload.AlarmSpec:
        project = self._projects[number % len(self._projects)]
        return workload.AlarmSpec(project, workload.resource_name(number, "user's vm"), repeat=True)

    def _user(self, number: int) -> None:
        spec = self._spec(number)
        action = f"{self._actions[number % len(self._actions)]}/user/{number}"
        alarm_id = self._create(spec, action)
        if alarm_id is None:
            return
        first = self._event(spec)
        self._publish(first)
        kind = self._chance.choice(self.KINDS)
        if kind == "none" or not self._is_committed(first.message_id):
            return
        if self._edit(spec.project, alarm_id, kind, f"{action}/moved"):
            self._publish(self._event(spec))

    def _create(self, spec: workload.AlarmSpec, action: str) -> str | None:
        alarm = {
            "name": f"fault of {spec.resource}",
            "type": "event",
            "severity": "low",
            "event_rule": spec.rule(),
            "alarm_actions": [action],
            "repeat_actions": True,
        }
        try:
            alarm_id = str(self._client(spec.project).alarm.create(alarm)["alarm_id"])
        except Exception:  # noqa: BLE001 - whatever a client library raises for an API without a database
            self.refused += 1
            return None
        self.created += 1
        name = str(alarm["name"])
        self._history.add(
            Alarm(time.time(), alarm_id, spec.project, spec.resource, FAULT, name, (action,), repeats=True)
        )
        return alarm_id

    def _event(self, spec: workload.AlarmSpec) -> workload.EventSpec:
        message_id = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        return workload.EventSpec(spec.project, spec.resource, message_id)

    def _publish(self, event: workload.EventSpec) -> None:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        self._publisher.put([workload.body(event, now, self._base)])

    def _is_committed(self, message_id: str) -> bool:
        while not self._over.wait(LOOK):
            if self._committed([message_id]):
                return True
        return False

    def _edit(self, project: str, alarm_id: str, kind: str, action: str) -> bool:
        """Edit an alarm; return True if the API answered that it did."""
        fields: dict[str, dict[str, Any]] = {
            "rename": {"name": f"renamed {alarm_id}", "severity": "moderate"},
            "retarget": {"alarm_actions": [action]},
            "disable": {"enabled": False},
            "delete": {},
        }
        began, ended = time.time(), None
        try:
            alarms = self._client(project).alarm
            if kind == "delete":
                alarms.delete(alarm_id)
            else:
                alarms.update(alarm_id, fields[kind])
            ended = time.time()
        except Exception:  # noqa: BLE001 - as above
            self.refused += 1
        self._history.add(Edit(began, ended, alarm_id, as_recorded(fields[kind]), deleted=kind == "delete"))
        return ended is not None


def as_recorded(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of the Aodh API by the names of the history."""
    return {"actions" if name == "alarm_actions" else name: value for name, value in fields.items()}
