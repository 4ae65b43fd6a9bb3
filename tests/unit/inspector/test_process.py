"""The edges of the inspector: batches that fail, options, what status prints, and the optional library."""

from __future__ import annotations

import builtins
import datetime
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import oslo_messaging
import pytest
from oslo_config import cfg

from eventalarm import conf as options
from eventalarm.exceptions import InvalidOption, Retryable
from eventalarm.inspector import cloud, consumer, status
from eventalarm.inspector.process import parse_switches
from eventalarm.metrics import Metrics
from eventalarm.model import DEFAULT_LIMITS, EPOCH, Event
from eventalarm.storage.resource_map import MapStats

HANDLED, REQUEUE = oslo_messaging.NotificationResult.HANDLED, oslo_messaging.NotificationResult.REQUEUE


class Failing:
    """Takes events; fails *times* with Retryable, and always with those named *poison*."""

    def __init__(self, times: int = 0, poison: str = "") -> None:
        self.times = times
        self.poison = poison
        self.handled: list[str] = []

    def process(self, events: Sequence[Event]) -> None:
        if self.times:
            self.times -= 1
            raise Retryable("the database is away")
        if any(event.message_id == self.poison for event in events):
            raise RuntimeError("a defect")
        self.handled += [event.message_id for event in events]


def message(*names: str) -> dict[str, Any]:
    return {"payload": [{"message_id": name, "event_type": "x", "traits": []} for name in names]}


def endpoint(inspector: Any, stopping: threading.Event | None = None) -> consumer.Endpoint:
    return consumer.Endpoint(inspector, DEFAULT_LIMITS, Metrics(), stopping or threading.Event())


def test_a_batch_is_held_while_the_database_is_away() -> None:
    inspector = Failing(times=3)
    assert endpoint(inspector).sample([message("a", "b"), message("c")]) == HANDLED
    assert inspector.handled == ["a", "b", "c"]


def test_a_batch_that_is_held_goes_back_when_the_process_ends() -> None:
    """Red if it were acknowledged: then nobody would handle it."""
    stopping = threading.Event()
    stopping.set()
    assert endpoint(Failing(times=1), stopping).sample([message("a")]) == REQUEUE


def test_an_event_that_always_fails_hurts_only_itself() -> None:
    """Red if the batch went back: it would come again forever."""
    inspector = Failing(poison="b")
    assert endpoint(inspector).sample([message("a", "b"), message("c")]) == HANDLED
    assert inspector.handled == ["a", "c"]


@pytest.mark.parametrize("payload", [None, "x", 7, [1, {"message_id": "m"}], {"message_id": 3}])
def test_what_cannot_be_read_is_acknowledged(payload: object) -> None:
    assert endpoint(Failing()).sample([{"payload": payload}]) == HANDLED


def test_switches() -> None:
    assert parse_switches(["leaf-1=c0, c1", "leaf-2 = c2", "leaf-1=c3"]) == {
        "leaf-1": ("c0", "c1", "c3"),
        "leaf-2": ("c2",),
    }


@pytest.mark.parametrize("value", ["leaf-1", "leaf-1=", "=c0", "leaf-1= ,"])
def test_switches_that_name_no_hosts(value: str) -> None:
    with pytest.raises(InvalidOption, match=r"switch_hosts.*write SWITCH=HOST,HOST"):
        parse_switches([value])


def shown(snapshot_age: float | None, stale_after: float | None) -> status.Status:
    return status.Status(MapStats({"server": 2, "port": 3}, 1, EPOCH, 1, 4), snapshot_age, 5.0, stale_after)


@pytest.mark.parametrize(
    ("snapshot_age", "stale_after", "word", "stale"),
    [
        (10.0, 60.0, "up to date", False),
        (61.0, 60.0, "STALE", True),
        (None, 60.0, "STALE", True),
        (None, None, "no snapshots are taken", False),
    ],
)
def test_status(snapshot_age: float | None, stale_after: float | None, word: str, stale: bool) -> None:
    found = shown(snapshot_age, stale_after)
    assert found.stale is stale
    first, second, *_, last = status.as_text(found).splitlines()
    assert first == f"resource map      3 ports, 2 servers on 1 hosts: {word}"
    assert second.endswith("never" if snapshot_age is None else f"{snapshot_age:.0f} s ago")
    assert last == "raised faults     1, affecting 4 resources"
    assert json.loads(status.as_json(found))["stale"] is stale


def test_without_openstacksdk_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without the extra: openstacksdk is imported only here, and only when it is needed."""
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.partition(".")[0] == "openstack":
            raise ModuleNotFoundError("No module named 'openstack'", name="openstack")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", missing)
    conf = cfg.ConfigOpts()
    options.register_opts(conf)
    conf([])
    with pytest.raises(InvalidOption, match=r"pip install eventalarm\[inspector\]"):
        cloud.connect(conf)


def test_the_age_of_the_map_is_never_negative() -> None:
    now = EPOCH - datetime.timedelta(seconds=1)
    assert status._age(EPOCH, now) == 0.0


def test_the_process_imports_no_optional_library() -> None:
    """Red with ``import openstack`` at the top of a module."""
    code = "import sys, eventalarm.inspector.process; sys.exit('openstack' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
