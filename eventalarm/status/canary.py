"""The canary: sends one synthetic event through the real topic to a webhook of this host and times it.

The alarm of a canary is a row of Aodh's table ``alarm``, in a project that only canaries use, with an id of a
form that Aodh does not generate. The canary removes it at the end, with its occurrences and deliveries; the
next canary removes what a killed one left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Final

from eventalarm.exceptions import PublishError
from eventalarm.model import UNKNOWN, UTC, DeliveryState, JSONDict, format_time
from eventalarm.standalone.consumer import Consumer
from eventalarm.status.checks import Finding, Level
from eventalarm.storage.database import Database
from eventalarm.storage.synthetic_alarms import (
    CanaryDelivery,
    delivery_of,
    insert_alarm,
    left_behind,
    remove_alarm,
)
from eventalarm.trace import CANARY

# One project for all canaries: listeners cache alarms by project.
PROJECT: Final = uuid.uuid5(uuid.NAMESPACE_DNS, CANARY).hex
PREFIX: Final = "eventalarm-canary-"
LEFT_AFTER: Final = datetime.timedelta(minutes=10)

ADDRESS_REMEDY: Final = "pass an address of this host that the listeners can reach with --canary-address"

Publish = Callable[[JSONDict], None]


@dataclasses.dataclass(frozen=True, slots=True)
class CanaryOptions:
    """How a canary is sent.

    ``host`` and ``port`` (0: any free one) are the address at which listeners reach the webhook; ``timeout``
    is in seconds; ``owner_trait`` and ``resource_trait`` are the first of the configured traits.
    """

    host: str
    port: int
    timeout: float
    owner_trait: str
    resource_trait: str


def new_id() -> str:
    """Return the id of an alarm for one canary."""
    return f"{PREFIX}{uuid.uuid4()}"


def send(database: Database, publish: Publish, options: CanaryOptions, alarm_id: str) -> Finding:
    """Create the alarm *alarm_id*, publish an event that raises it and wait for the call of the webhook."""
    remove_left_behind(database)
    try:
        consumer = Consumer(host=options.host, port=options.port)
    except OSError as exc:
        return Finding(
            Level.FAILED,
            f"cannot listen on {options.host}: {exc}",
            ADDRESS_REMEDY,
        )
    with contextlib.closing(consumer), _alarm(database, alarm_id, consumer.url):
        started = time.monotonic()
        try:
            publish(event(alarm_id, options, datetime.datetime.now(UTC)))
        except PublishError as exc:
            return Finding(Level.FAILED, f"the broker refused the event: {exc}", "see the check broker")
        if _arrived(consumer, options.timeout):
            took = (time.monotonic() - started) * 1000
            return Finding(
                Level.OK, f"{took:.0f} ms from event to webhook", figures={"milliseconds": round(took, 1)}
            )
        return undelivered(delivery_of(database, alarm_id), options)


def _arrived(consumer: Consumer, timeout: float) -> bool:
    try:
        return bool(consumer.wait(1, timeout))
    except TimeoutError:
        return False


def event(alarm_id: str, options: CanaryOptions, now: datetime.datetime) -> JSONDict:
    """Return an event that raises the alarm, in the form in which Ceilometer publishes it."""
    traits = {options.owner_trait: PROJECT, options.resource_trait: alarm_id, "canary": alarm_id}
    return {
        "message_id": str(uuid.uuid4()),
        "event_type": CANARY,
        "generated": format_time(now),
        "traits": [[name, 1, value] for name, value in traits.items()],
        "raw": {},
    }


@contextlib.contextmanager
def _alarm(database: Database, alarm_id: str, url: str) -> Iterator[None]:
    """Create the alarm, and remove it with its occurrences and deliveries at the end."""
    try:
        insert_alarm(database, alarm_row(alarm_id, url))
        yield
    finally:
        remove_alarm(database, alarm_id)


def alarm_row(alarm_id: str, url: str) -> JSONDict:
    """Return the columns of an alarm that calls *url* when the canary's event arrives."""
    condition = {"field": "traits.canary", "op": "eq", "type": "string", "value": alarm_id}
    return {
        "alarm_id": alarm_id,
        "enabled": True,
        "name": alarm_id,
        "description": "created by eventalarm-status check --canary, which removes it",
        "type": "event",
        "severity": "low",
        "user_id": PROJECT,
        "project_id": PROJECT,
        "state": UNKNOWN,
        "state_reason": "",
        "ok_actions": [],
        "alarm_actions": [url],
        "insufficient_data_actions": [],
        "repeat_actions": False,
        "rule": {"event_type": CANARY, "query": [condition]},
        "time_constraints": [],
    }


def remove_left_behind(database: Database) -> None:
    """Remove the alarms of canaries that were killed."""
    for alarm_id in left_behind(database, PROJECT, PREFIX, LEFT_AFTER):
        remove_alarm(database, alarm_id)


def undelivered(delivery: CanaryDelivery | None, options: CanaryOptions) -> Finding:
    """Report how far the canary got before the timeout; *delivery* is None if no alarm was raised."""
    late = f"the webhook was not called within {options.timeout:g} s"
    if delivery is None:
        return Finding(
            Level.FAILED,
            f"{late}: no listener evaluated the event",
            "see the checks of the queue and of the listeners; events that wait in the queue come first",
        )
    if delivery.state is DeliveryState.DELIVERED:
        return Finding(
            Level.FAILED,
            f"{late}, although a listener delivered it: {options.host} is another host for that listener",
            ADDRESS_REMEDY,
        )
    why = f"{delivery.error} after {delivery.attempts} attempts" if delivery.error else "not attempted yet"
    return Finding(
        Level.FAILED,
        f"{late}: the alarm was raised, but the webhook at {options.host} was not reached ({why})",
        ADDRESS_REMEDY,
    )
