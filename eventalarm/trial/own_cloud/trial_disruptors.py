"""From the options of a scenario to the disruptors of a cloud of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from eventalarm.trial.fields import Fields
from eventalarm.trial.own_cloud.consumers import MODES
from eventalarm.trial.own_cloud.disruption import Disruption, Kind
from eventalarm.trial.own_cloud.disruptors import CutLink, KillBroker, KillDatabase, Misbehave
from eventalarm.trial.own_cloud.listener_disruptors import (
    KillListener,
    KillListenerAtOnce,
    OnListener,
    StopListener,
)
from eventalarm.trial.own_cloud.proxy import BACK, BOTH, THERE
from eventalarm.trial.own_cloud.service_disruptors import (
    FreezeDatabase,
    HoldSnapshot,
    SetListenerClock,
    StarveBroker,
)
from eventalarm.trial.own_cloud.stage import Stage
from eventalarm.trial.own_cloud.trial_stage import OwnCloud, own_cloud_of
from eventalarm.trial.plugins import Context, Options

KILL, CLOCK, ANY = "kill", "clock", "any"
ON_LISTENER: Final[Mapping[str, type[OnListener]]] = {
    KILL: KillListener,
    "kill-at-once": KillListenerAtOnce,
    "stop": StopListener,
}
ON_BROKER: Final[Mapping[str, Kind]] = {KILL: KillBroker, "memory-alarm": StarveBroker}
ON_DATABASE: Final[Mapping[str, Kind]] = {
    "read-only": FreezeDatabase,
    "snapshot": HoldSnapshot,
}


def _opened(cloud: OwnCloud) -> Callable[[], Stage]:
    return lambda: cloud.stage


def _number(fields: Fields, cloud: OwnCloud) -> int | None:
    """Return the number of the listener, or None for any."""
    number = fields.number("number", None, 0, cloud.listeners - 1)
    return None if number is None else int(number)


def listener(context: Context, options: Options) -> Disruption:
    """Return what kills or stops one listener, or sets its clock."""
    cloud, fields = own_cloud_of(context), Fields(options, context.name)
    action = fields.text("action", KILL, (*ON_LISTENER, CLOCK))
    if action == CLOCK and not cloud.has_clock:
        raise fields.wrong("action", "the stage has no clock that can be set", "add clock: true to the stage")
    number = None if action == CLOCK else _number(fields, cloud)
    fields.done()
    if action == CLOCK:
        return SetListenerClock(_opened(cloud), context.chance)
    return ON_LISTENER[action](_opened(cloud), context.chance, number=number)


def broker(context: Context, options: Options) -> Disruption:
    """Return what kills RabbitMQ, or lets it refuse messages."""
    cloud, fields = own_cloud_of(context), Fields(options, context.name)
    action = fields.text("action", KILL, ON_BROKER)
    fields.done()
    return ON_BROKER[action](_opened(cloud), context.chance)


def database(context: Context, options: Options) -> Disruption:
    """Return what kills the database, makes it read-only, or holds a snapshot."""
    cloud, fields = own_cloud_of(context), Fields(options, context.name)
    action = fields.text("action", KILL, (KILL, *ON_DATABASE))
    fields.done()
    if action == KILL:
        return KillDatabase(_opened(cloud), context.chance, f"kill {cloud.database}")
    return ON_DATABASE[action](_opened(cloud), context.chance)


def link(context: Context, options: Options) -> Disruption:
    """Return what cuts the connections of a listener to broker or database."""
    cloud, fields = own_cloud_of(context), Fields(options, context.name)
    kind = fields.text("to", choices=("broker", "database"))
    way = fields.text("way", ANY, (ANY, BOTH, THERE, BACK))
    number = _number(fields, cloud)
    fields.done()
    chosen = "" if way == ANY else way
    return CutLink(_opened(cloud), context.chance, kind=kind, number=number, way=chosen)


def consumer(context: Context, options: Options) -> Disruption:
    """Return what lets a webhook consumer misbehave."""
    cloud, fields = own_cloud_of(context), Fields(options, context.name)
    mode = fields.text("mode", ANY, (ANY, *MODES))
    fields.done()
    return Misbehave(_opened(cloud), context.chance, mode="" if mode == ANY else mode)
