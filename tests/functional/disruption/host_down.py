"""A host of many servers dies and comes back, while the inspector is killed again and again."""

from __future__ import annotations

import datetime
import pathlib
import uuid
from collections.abc import Sequence

from benchmarks.scenarios.fanout import HostAlarm, host_alarm
from eventalarm.inspector.fan_out import event_id
from eventalarm.model import STRING, Resource, ResourceKind, make_body
from eventalarm.storage.resource_map import ResourceMap
from eventalarm.trial.history.records import Event, Publish, Strike
from eventalarm.trial.own_cloud.load.workload import FAULT, HEALTH
from eventalarm.trial.own_cloud.play import Finding, Play
from eventalarm.trial.own_cloud.progress import Progress
from eventalarm.trial.own_cloud.stage import Ground, epoch
from tests.support.helpers import wait_until
from tests.support.inspector import Inspectors

DOWN, UP = "down", "up"
HOST, ELSEWHERE = "host", "another-host"
# Seconds after which the inspector is killed, from when it consumes: within the fan-out, or right before it.
SOON = 0.3
PUBLISHED = "host-down of host"


def host_down(
    ground: Ground,
    directory: pathlib.Path,
    progress: Progress,
    *,
    servers: int = 1000,
    kills: int = 3,
    listeners: int = 2,
    seed: int = 1,
) -> Finding:
    """Report that a host of *servers* servers is down, then that it is back, each time with *kills* SIGKILLs.

    Every owner has a project of its own, and must receive exactly one raise and one clear. As many servers
    run on another host; their owners receive nothing.
    """
    play = Play(ground, directory, ["owners"], progress, seed, listeners=listeners)
    try:
        owners = _settle_in(play, "owner", HOST, servers)
        _settle_in(play, "bystander", ELSEWHERE, servers)
        for listener in play.stage.listeners:
            listener.start(wait=True)
        inspectors = Inspectors(play.stage.programs, directory, play.stage.cloud)
        figures = {"servers": float(servers)}
        for status in (DOWN, UP):
            inspectors.running()
            ids = _report(play, status, owners)
            figures[f"kills before the owners' events of {status}"] = float(
                sum(_kill_soon(play, inspectors) for _ in range(kills))
            )
            inspectors.running()
            waits = play.latencies(ids)
            figures[f"last owner notified after {status} (s)"] = max(waits)
            # A recovery must be published after its fault was seen: otherwise it may overtake the fault.
            play.stage.committed(ids)
        play.idle("the host is back")
        verdict = play.verdict("host-down")
    finally:
        play.close()
    name = f"host-down on {play.stage.cloud.database.dialect}"
    return Finding(name, figures, verdict.problems, play.rows(verdict))


def _settle_in(play: Play, label: str, host: str, number: int) -> list[HostAlarm]:
    """Let servers run on a host, each with an alarm of its owner."""
    alarms = [host_alarm(one, label, play.stage.actions["owners"]) for one in range(number)]
    play.stage.insert([(alarm, True) for alarm in alarms])
    now = datetime.datetime.now(datetime.UTC)
    ResourceMap(play.stage.cloud.database).apply(
        Resource(ResourceKind.SERVER, one.resource, now, one.project, host=host, host_at=now)
        for one in alarms
    )
    return alarms


def _report(play: Play, status: str, owners: Sequence[HostAlarm]) -> set[str]:
    """Publish one event about the host; return the ids of the events that the inspector must publish."""
    report_id = str(uuid.UUID(int=play.chance.getrandbits(128), version=4))
    moment = datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat()
    traits = (("hostname", STRING, HOST), ("status", STRING, status))
    began = epoch()
    play.stage.cloud.publish(make_body(report_id, f"compute.host.{status}", moment, traits))
    state = FAULT if status == DOWN else HEALTH
    events = [
        Event(event_id(report_id, one.resource), one.project, one.resource, state, began) for one in owners
    ]
    play.stage.history.add(Publish(began, epoch(), tuple(events)))
    play.published |= {one.message_id: began for one in events}
    return {one.message_id for one in events}


def _kill_soon(play: Play, inspectors: Inspectors) -> bool:
    """Kill the inspector after a short, random time; return True if it had not recorded a fan-out yet."""
    process = inspectors.running()
    until = epoch() + play.chance.uniform(0.0, SOON)
    wait_until(lambda: epoch() >= until)
    process.kill()
    play.stage.history.add(Strike(epoch(), epoch(), "kill inspector", ends_process=False))
    return PUBLISHED not in process.text()
