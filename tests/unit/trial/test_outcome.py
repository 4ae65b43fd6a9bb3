"""The result of a trial: what noticed a disruption, outages, limits and the exit code."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from eventalarm.trial.history.verdict import Verdict
from eventalarm.trial.outcome import (
    ERROR,
    FAILED,
    INTERRUPTED,
    LEFT,
    PASSED,
    Made,
    Noticed,
    Outcome,
    Watched,
    alone,
    as_json,
    noticed,
)
from eventalarm.trial.plugins import Effect, Notification, Sample
from eventalarm.trial.scenario import Limits


def made(began: float, ended: float = 0.0, name: str = "kill", **fields: Any) -> Made:
    return Made(name, Effect(("c1",)), began, ended or began + 5, ended or began + 6, **fields)


def alarm(at: float, name: str = "host-down", state: str = "alarm", **fields: Any) -> Notification:
    return Notification(at, name, state, **fields)


def watched(*good: bool) -> Watched:
    return Watched(
        "nova", tuple(Sample(10.0 + at, 0.1, one, "" if one else "gone") for at, one in enumerate(good))
    )


def outcome(**fields: Any) -> Outcome:
    found = Outcome(
        name="test",
        stage="existing-cloud",
        seed=1,
        began=0.0,
        ended=100.0,
        made=(made(10),),
        watched=(),
        notifications=(alarm(12.5),),
        results={},
        problems=(),
        verdict=Verdict(),
        rows=(),
    )
    return dataclasses.replace(found, **fields)


@pytest.mark.parametrize(
    ("notification", "expected"),
    [
        (alarm(12), Noticed("host-down", 2)),
        (alarm(9), Noticed()),
        (alarm(12, state="ok"), Noticed()),
        (alarm(12, is_probe=True), Noticed()),
        (alarm(12, "other"), Noticed()),
        (alarm(31), Noticed()),
    ],
)
def test_the_first_alarm_after_a_disruption_has_noticed_it(
    notification: Notification, expected: Noticed
) -> None:
    """Red if another alarm, an ok, one of a runner, or one after the next disruption counts."""
    several = [made(10, noticed_by="host-*"), made(30, noticed_by="host-*"), made(11, name="other")]
    assert noticed(several, [notification, alarm(80)])[0] == expected


def test_an_outage_lasts_until_the_next_good_sample() -> None:
    one = watched(True, False, False, True, False)
    assert list(one.outages()) == [(11, 13, "gone"), (14, 14.1, "gone")]
    assert (one.percent, one.longest) == (40, 2)
    assert watched().percent == 100


def test_disruptions_that_overlap_are_not_alone() -> None:
    assert [one.is_alone for one in alone([made(10, 20), made(15, 18), made(30)])] == [False, False, True]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"verdict": Verdict(errors=Verdict().errors.__class__({"lost transition": 2}))},
            "2 events were lost",
        ),
        ({"verdict": Verdict(errors=Verdict().errors.__class__({"reordered delivery": 1}))}, "reordered"),
        ({"problems": ("rally: run 1 ended with 2",)}, "rally"),
        ({"limits": Limits(noticed=2)}, "noticed after 2.5 s, 2 s are allowed"),
        ({"limits": Limits(noticed=2), "notifications": ()}, "no alarm of any name reported it"),
        ({"made": (made(10, noticed_by="compute*"),)}, "no alarm compute* reported it"),
        (
            {"watched": (watched(True, False),), "limits": Limits(availability={"nova": 99})},
            "nova: available for 50.00 %, 99 % are required",
        ),
        (
            {"watched": (watched(False, False, True),), "limits": Limits(outage={"nova": 1})},
            "nova: not available for 2.0 s at once",
        ),
    ],
)
def test_what_the_limits_do_not_allow_fails_the_trial(fields: dict[str, Any], words: str) -> None:
    found = outcome(**fields)
    assert (len(found.failures), found.code) == (1, FAILED)
    assert words in found.failures[0]


def test_the_exit_code_tells_the_worst() -> None:
    """Red if an interruption hides that something is still broken."""
    assert outcome().code == PASSED
    assert outcome(made=(made(1, error="refused"),)).code == ERROR
    assert outcome(is_interrupted=True, problems=("x",)).code == INTERRUPTED
    assert outcome(is_interrupted=True, made=(made(1, error="x", is_left=True),)).code == LEFT


def test_lost_events_may_be_allowed() -> None:
    verdict = Verdict()
    verdict.error("lost transition", "alarm a")
    verdict.error("doubled delivery", "delivery d")
    assert outcome(verdict=verdict, limits=Limits(lost=1, doubled=1)).code == PASSED
    assert outcome(verdict=verdict, limits=Limits(lost=1)).failures == ["1 events were doubled, 0 may be"]


def test_everything_is_json() -> None:
    document = json.loads(json.dumps(as_json(outcome(watched=(watched(True, False),)))))
    assert document["disruptions"][0]["noticed"] == {"alarm": "host-down", "latency": 2.5}
    assert document["monitors"][0]["samples"][1]["is_ok"] is False
