"""What the spool keeps across a restart and beyond its bound; what the reporter does with refusals."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from eventalarm.backoff import Backoff
from eventalarm.exceptions import InvalidOption
from eventalarm.guest.reporter import ApiUnavailable, EventsRefused, Report, Reporter
from eventalarm.guest.spool import Spool
from tests.support.helpers import wait_until


def event(number: int, instance: str = "", check: str = "guest-agent") -> dict[str, Any]:
    traits = [["instance_id", 1, instance or f"i-{number}"], ["check", 1, check]]
    return {
        "message_id": f"m-{number}",
        "event_type": "x",
        "generated": "2026-11-20T23:01:36",
        "traits": traits,
    }


def ids(spool: Spool) -> list[str]:
    return [one.event["message_id"] for one in spool.first(1000)]


def test_events_and_states_survive_a_restart_in_order(tmp_path: pathlib.Path) -> None:
    first = Spool(tmp_path / "spool", 100)
    first.add([event(number) for number in range(12)])
    first.remove(first.first(1))
    first.save_states({"i-1": {"answered": True}})
    first.close()
    (tmp_path / "spool/00000000000000000099.event").write_text("half an ev")
    second = Spool(tmp_path / "spool", 100)
    second.add([event(12)])
    assert ids(second) == [f"m-{number}" for number in range(1, 13)]
    assert second.load_states() == {"i-1": {"answered": True}}
    second.close()


def test_beyond_the_bound_the_newest_event_of_each_guest_is_kept(tmp_path: pathlib.Path) -> None:
    spool = Spool(tmp_path, 4)
    spool.add([event(0, "b"), event(1, "a"), event(2, "a", "crash"), event(3, "a")])
    spool.add([event(4, "c")])
    assert (ids(spool), spool.dropped) == (["m-0", "m-2", "m-3", "m-4"], 1)
    spool.add([event(5, "d")])
    assert (ids(spool), spool.dropped) == (["m-2", "m-3", "m-4", "m-5"], 2)
    assert len(list(tmp_path.glob("*.event"))) == 4
    spool.close()


def test_two_monitors_cannot_share_a_spool(tmp_path: pathlib.Path) -> None:
    spool = Spool(tmp_path, 100)
    with pytest.raises(InvalidOption, match="used by another monitor; give each monitor its own"):
        Spool(tmp_path, 100)
    spool.close()


def test_a_directory_that_cannot_be_used_is_an_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidOption, match=r"spool_directory: .*may write to"):
        Spool(tmp_path / "file", 100)


class Api:
    """A stand-in for the ingest API: refuses *bad* ids, and all requests while *away*."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.bad: set[str] = set()
        self.away = False
        self.calls = 0
        self.gate = threading.Event()
        self.gate.set()

    def post(self, events: Sequence[dict[str, Any]]) -> None:
        self.gate.wait(30)
        self.calls += 1
        sent = [one["message_id"] for one in events]
        if self.away:
            raise ApiUnavailable("away")
        if self.bad & set(sent):
            raise EventsRefused("400: bad")
        self.accepted += sent


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def start(tmp_path: pathlib.Path, api: Api) -> Iterator[Callable[[], Reporter]]:
    started: list[tuple[Reporter, Spool]] = []

    def begin() -> Reporter:
        spool = Spool(tmp_path, 1000)
        reporter = Reporter(spool, api.post, Backoff(0.01, 0.02))
        reporter.start()
        started.append((reporter, spool))
        return reporter

    yield begin
    for reporter, spool in started:
        reporter.stop()
        spool.close()


def test_events_are_sent_in_order_once_the_api_is_back(api: Api, start: Callable[[], Reporter]) -> None:
    api.away = True
    reporter = start()
    for number in range(250):
        reporter.report(Report((event(number),)))
    wait_until(lambda: reporter.waiting == 250 and api.calls > 2, 10)
    api.away = False
    wait_until(lambda: reporter.waiting == 0, 10)
    assert api.accepted == [f"m-{number}" for number in range(250)]


def test_an_event_that_is_refused_does_not_hold_up_others(api: Api, start: Callable[[], Reporter]) -> None:
    api.bad = {"m-1"}
    reporter = start()
    reporter.report(Report(tuple(event(number) for number in range(4)), beat=event(9)))
    wait_until(lambda: "m-9" in api.accepted, 10)
    assert [one for one in api.accepted if one != "m-9"] == ["m-0", "m-2", "m-3"]


def test_a_beat_that_is_refused_costs_no_event(api: Api, start: Callable[[], Reporter]) -> None:
    api.bad = {"m-9"}
    reporter = start()
    reporter.report(Report((event(0),), beat=event(9)))
    wait_until(lambda: api.accepted == ["m-0"], 10)
    reporter.report(Report(beat=event(10)))
    wait_until(lambda: api.accepted == ["m-0", "m-10"], 10)


def test_only_the_newest_beat_is_sent_after_an_absence(api: Api, start: Callable[[], Reporter]) -> None:
    api.away = True
    reporter = start()
    for number in range(5):
        reporter.report(Report(beat=event(number)))
        wait_until(lambda calls=api.calls: api.calls > calls, 10)  # type: ignore[misc]
    api.away = False
    wait_until(lambda: api.accepted, 10)
    assert api.accepted == ["m-4"]


def test_the_end_of_the_monitor_sends_what_waits(api: Api, start: Callable[[], Reporter]) -> None:
    api.gate.clear()
    reporter = start()
    reporter.report(Report((event(0),)))
    threading.Timer(0.1, api.gate.set).start()
    reporter.report(Report((event(1),)))
    reporter.stop()
    assert api.accepted == ["m-0", "m-1"]
