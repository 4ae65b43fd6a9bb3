"""When a guest is reported as lost or restored, and which of its faults end when."""

from __future__ import annotations

import dataclasses
import datetime

import pytest

from eventalarm.guest import tracker
from eventalarm.guest.metadata import GuestSettings
from eventalarm.guest.protocol import Health
from eventalarm.guest.reports import event_of, state_from_json, state_to_json
from eventalarm.guest.tracker import Change, Check, GuestState

AT = datetime.datetime(2026, 11, 20, 23, 1, 36, tzinfo=datetime.UTC)
GUEST = GuestSettings("i-1", "vm-1", "instance-1", "p-1", "m1", 30.0, 5.0, 2, True, True)
SICK = Health(False, 3, "disk full")
WELL = Health(True, 0, "exit code 0")


def later(seconds: float) -> datetime.datetime:
    return AT + datetime.timedelta(seconds=seconds)


def shown(changes: tuple[Change, ...]) -> list[tuple[str, bool]]:
    return [(change.check.value, change.failed) for change in changes]


def known(health: Health | None = None) -> GuestState:
    return tracker.answered(GuestState(AT), GUEST, AT, health)[0]


def test_a_guest_is_lost_after_the_missed_challenges_and_restored_by_an_answer() -> None:
    state, first = tracker.missed(known(), GUEST, later(20), "no answer", 300)
    assert (first, state.suspect, state.undecided(2)) == ((), True, True)
    state, second = tracker.missed(state, GUEST, later(25), "no answer", 300)
    assert shown(second) == [("guest-agent", True)]
    assert second[0].details == {"last_seen": AT}
    state, third = tracker.missed(state, GUEST, later(45), "no answer", 300)
    assert (third, state.undecided(2)) == ((), False)
    state, restored = tracker.answered(state, GUEST, later(65), None)
    assert shown(restored) == [("guest-agent", False)]
    assert restored[0].since == later(25)
    assert not state.suspect


def test_one_answer_between_two_misses_prevents_a_report() -> None:
    state = known()
    for moment in range(10):
        state, missed = tracker.missed(state, GUEST, later(moment), "no answer", 300)
        state, answered = tracker.answered(state, GUEST, later(moment), None)
        assert (missed, answered) == ((), ())


def test_a_guest_that_starts_has_time_for_its_first_answer() -> None:
    state = GuestState(AT)
    for moment in (0, 100, 299):
        state, changes = tracker.missed(state, GUEST, later(moment), "no answer", 300)
        assert changes == ()
    state, _ = tracker.missed(state, GUEST, later(300), "no answer", 300)
    state, changes = tracker.missed(state, GUEST, later(305), "no answer", 300)
    assert shown(changes) == [("guest-agent", True)]
    state, _ = tracker.started(known(), GUEST, later(400))
    assert tracker.missed(state, GUEST, later(500), "no answer", 300) == (state, ())


def test_the_health_command_has_a_separate_fault() -> None:
    state, first = tracker.answered(known(), GUEST, AT, SICK)
    state, second = tracker.answered(state, GUEST, AT, SICK)
    state, third = tracker.answered(state, GUEST, AT, SICK)
    assert [shown(one) for one in (first, second, third)] == [[], [("health-command", True)], []]
    assert (second[0].reason, second[0].severity, second[0].details) == (
        "disk full",
        "major",
        {"exit_code": 3},
    )
    worse = dataclasses.replace(SICK, severity="critical")
    state, changed = tracker.answered(state, GUEST, AT, worse)
    assert [one.severity for one in changed] == ["critical"]
    state, healthy = tracker.answered(state, GUEST, AT, WELL)
    assert shown(healthy) == [("health-command", False)]


@pytest.mark.parametrize(
    ("check", "ends"),
    [
        (Check.CRASH, {"started", "gone"}),
        (Check.DISK, {"started", "resumed", "gone"}),
        (Check.WATCHDOG, {"answered", "gone"}),
        (Check.AGENT, {"answered", "stopped", "gone"}),
        (Check.HEALTH, {"answered", "stopped", "gone"}),
    ],
)
def test_each_fault_has_its_end(check: Check, ends: set[str]) -> None:
    state, changes = tracker.failed(known(), check, AT, "why", {"action": "reset"})
    assert shown(changes) == [(check.value, True)]
    assert tracker.failed(state, check, AT, "again")[1] == ()
    ways = {
        "started": tracker.started(state, GUEST, AT),
        "resumed": tracker.resumed(state, AT),
        "stopped": tracker.stopped(state, AT, "stopped"),
        "answered": tracker.answered(state, GUEST, AT, WELL),
        "gone": tracker.gone(state, AT, "removed"),
    }
    assert {name for name, (_, found) in ways.items() if found} == ends
    assert all(shown(ways[name][1]) == [(check.value, False)] for name in ends)


def test_a_watchdog_ends_with_the_start_where_no_agent_can_answer() -> None:
    guest = dataclasses.replace(GUEST, has_agent=False)
    state, _ = tracker.failed(known(), Check.WATCHDOG, AT, "why")
    assert shown(tracker.started(state, guest, AT)[1]) == [("watchdog", False)]


def test_faults_are_reported_again_after_a_loss() -> None:
    state, _ = tracker.failed(known(), Check.CRASH, AT, "why")
    assert [(one.check, one.since) for one in tracker.again(state, later(9))] == [(Check.CRASH, AT)]


def test_a_state_survives_a_restart() -> None:
    state, _ = tracker.failed(known(), Check.DISK, later(1), "why")
    assert state_from_json(state_to_json(state, GUEST)) == state


def test_the_same_change_has_the_same_id_and_another_change_another() -> None:
    change = Change(Check.AGENT, True, AT, AT, "no answer", "major")
    first, second = event_of(change, GUEST, "host-1"), event_of(change, GUEST, "host-1")
    assert first == second
    others = [
        dataclasses.replace(change, failed=False),
        dataclasses.replace(change, check=Check.CRASH),
        dataclasses.replace(change, at=later(1)),
    ]
    ids = {event_of(one, GUEST, "host-1")["message_id"] for one in (change, *others)}
    assert len(ids) == 4
    assert first["event_type"] == "guest.heartbeat.lost"
