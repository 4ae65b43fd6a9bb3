"""The workload: the same alarms and real Ceilometer events for every contender, from a fixed seed."""

from __future__ import annotations

import datetime
import json
import pathlib
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TEMPLATE = pathlib.Path(__file__).with_name("instance-update.json")
SPACE = uuid.UUID("5f8f41cc-5d0c-4a4b-9c3c-6b5a0a0ec3a1")
# An alarm and the event that fired it: the identity of one webhook.
Hit = tuple[str, str]
EVENT_TYPE = "compute.instance.update"
FAULT, HEALTH = "error", "active"
OWNERS = frozenset({"project_id", "tenant_id"})
RESOURCES = frozenset({"instance_id", "resource_id"})


@dataclass(frozen=True)
class AlarmSpec:
    """One alarm on the error state of one instance; it calls ``action``, and ``ok_action`` when cleared."""

    project: str
    resource: str
    action: str = ""
    repeat: bool = False
    enabled: bool = True
    ok_action: str = ""

    @property
    def alarm_id(self) -> str:
        """The alarm id, which is derived from project and resource."""
        return alarm_id_of(self.project, self.resource)

    def rule(self) -> dict[str, Any]:
        """Return the event rule, as a user of the Aodh API writes it."""
        return {
            "event_type": EVENT_TYPE,
            "query": [
                {"field": "traits.instance_id", "op": "eq", "type": "string", "value": self.resource},
                {"field": "traits.state", "op": "eq", "type": "string", "value": FAULT},
            ],
        }


@dataclass(frozen=True)
class EventSpec:
    """One event; ``fires`` is True if there is an alarm on its resource and its state is the fault."""

    project: str
    resource: str
    message_id: str
    state: str = FAULT
    fires: bool = True

    @property
    def hit(self) -> Hit:
        """The alarm and the message of the webhook that it causes, if it causes one."""
        return alarm_id_of(self.project, self.resource), self.message_id


def alarm_id_of(project: str, resource: str) -> str:
    """Return the id of the alarm on a resource."""
    return str(uuid.uuid5(SPACE, f"{project}/{resource}"))


def counted(number: int, noun: str) -> str:
    """Return *number* with *noun*, which is in the plural unless the number is one."""
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def project_name(number: int, label: str = "p") -> str:
    """Return the id of a project, as long as Keystone's are."""
    return uuid.uuid5(SPACE, f"project {label} {number}").hex


def resource_name(number: int, label: str = "vm") -> str:
    """Return the id of an instance, as long as Nova's are."""
    return str(uuid.uuid5(SPACE, f"{label} {number}"))


def template() -> dict[str, Any]:
    """Return the event with 21 traits that Ceilometer made from a notification of Nova."""
    event: dict[str, Any] = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    return event


def body(spec: EventSpec, generated: datetime.datetime, base: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event of *spec* in the shape of *base*."""
    values = {
        **dict.fromkeys(OWNERS, spec.project),
        **dict.fromkeys(RESOURCES, spec.resource),
        "state": spec.state,
    }
    traits = [[name, dtype, values.get(name, value)] for name, dtype, value in base["traits"]]
    return {
        **base,
        "message_id": spec.message_id,
        "event_type": EVENT_TYPE,
        "generated": generated.isoformat(),
        "traits": traits,
    }


def alarm_row(spec: AlarmSpec, now: datetime.datetime) -> dict[str, Any]:
    """Return the row of Aodh's ``alarm`` table that its API would have written."""
    return {
        "alarm_id": spec.alarm_id,
        "enabled": spec.enabled,
        "name": f"fault of {spec.resource}",
        "type": "event",
        "severity": "critical",
        "description": "",
        "timestamp": now,
        "user_id": "benchmark",
        "project_id": spec.project,
        "state": "insufficient data",
        "state_reason": "Not evaluated yet",
        "state_timestamp": now,
        "ok_actions": [spec.ok_action] if spec.ok_action else [],
        "alarm_actions": [spec.action] if spec.action else [],
        "insufficient_data_actions": [],
        "repeat_actions": spec.repeat,
        "rule": spec.rule(),
        "time_constraints": [],
        "evaluate_timestamp": now,
    }


def action(bases: Sequence[str], alarm_id: str) -> str:
    """Return the URL that an alarm calls: always the same one of *bases*, and the alarm's own path there."""
    return f"{bases[int(alarm_id[:8], 16) % len(bases)]}/{alarm_id}"


def spread(
    projects: Sequence[str], alarms: int, bases: Sequence[str] = (), *, repeat: bool = True, label: str = "vm"
) -> Iterator[AlarmSpec]:
    """Yield *alarms* alarms over *projects* in turn, each calling one of *bases*, if there are any."""
    for number in range(alarms):
        project = projects[number % len(projects)]
        resource = resource_name(number, label)
        url = action(bases, alarm_id_of(project, resource)) if bases else ""
        yield AlarmSpec(project, resource, url, repeat=repeat)


def stream(
    projects: Sequence[str], alarms: int, events: int, matching: float, *, seed: int, run: str
) -> list[EventSpec]:
    """Return *events* events over *projects*, of which the share *matching* fires one alarm each.

    Of those that fire nothing, every second one is a healthy state of a watched instance, which costs the
    evaluation of an alarm, and the others are about instances without an alarm.
    """
    chance = random.Random(f"{seed} {run}")
    firing = round(events * matching) if alarms else 0
    kinds = [True] * firing + [False] * (events - firing)
    chance.shuffle(kinds)
    made = []
    for number, fires in enumerate(kinds):
        message_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        watched = alarms and (fires or number % 2)
        which = chance.randrange(alarms) if watched else chance.randrange(10**9)
        project = projects[which % len(projects)]
        resource = resource_name(which) if watched else resource_name(which, "nobody's")
        state = FAULT if fires or not watched else HEALTH
        made.append(EventSpec(project, resource, message_id, state, fires))
    return made


def of_alarms(alarms: Sequence[AlarmSpec], events: int, *, seed: int, run: str) -> list[EventSpec]:
    """Return *events* events that fire *alarms* in turn, one each."""
    chance = random.Random(f"{seed} {run}")
    return [
        EventSpec(
            alarms[number % len(alarms)].project,
            alarms[number % len(alarms)].resource,
            str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        )
        for number in range(events)
    ]
