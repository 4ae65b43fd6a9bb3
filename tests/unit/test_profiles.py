"""Checkpoints as reporters and consumers write them, and as the database stores them."""

from __future__ import annotations

from typing import Any

import pytest

from eventalarm.model import (
    Arrival,
    Checkpoint,
    Event,
    Profile,
    Stage,
    begin_profile,
    is_forced,
    read_checkpoints,
)
from tests.support.profiles import BEGAN, ZERO, profile

ISO = BEGAN.isoformat()


def event(*traits: tuple[str, int, Any], generated: Any = ISO) -> Event:
    return Event.parse(
        {"message_id": "m", "event_type": "t", "generated": generated, "traits": [list(t) for t in traits]}
    )


@pytest.mark.parametrize(
    "value",
    [
        [{"name": "a", "time": ISO}, {"name": "b", "time": "2026-05-01T12:00:01"}],
        {"a": ISO, "b": "2026-05-01T12:00:01Z"},
        f'{{"a": "{ISO}", "b": "2026-05-01T13:00:01+01:00"}}',
    ],
)
def test_both_forms_and_their_text_are_read(value: object) -> None:
    assert read_checkpoints(value) == (Checkpoint("a", ZERO), Checkpoint("b", ZERO + 1))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("{", "is not JSON"),
        (7, "must be a list of objects"),
        ([1], "must be an object"),
        ([{"name": "a"}], "must be an object"),
        ([{"name": "", "time": ISO}], "1 to 64 printable"),
        ([{"name": "a\x1b[31m", "time": ISO}], "1 to 64 printable"),
        ([{"name": "a" * 65, "time": ISO}], "1 to 64 printable"),
        ([{"name": "a", "time": "soon"}], "time of checkpoint 'a'"),
        ([{"name": "a", "time": None}], "time of checkpoint 'a'"),
        ({str(n): ISO for n in range(17)}, "at most 16"),
    ],
)
def test_what_cannot_be_read_is_named(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_checkpoints(value)


def test_a_profile_is_stored_as_it_was() -> None:
    one = profile(0, 0.25, 0.5, reporter=[Checkpoint("a", ZERO - 1)], publisher="p")
    found = Profile.parse(one.text())

    assert found is not None
    assert (found.times, found.reporter, found.publisher) == (one.times, one.reporter, "p")


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"times": {"other": 1}}', '{"times": 1}', "1"])
def test_what_is_not_a_profile_is_none(text: str | None) -> None:
    assert Profile.parse(text) is None


def test_a_profile_begins_with_what_the_message_and_the_event_say() -> None:
    one = event(("checkpoints", 1, f'{{"link down": "{ISO}"}}'))
    one.arrival = Arrival(
        ZERO + 2, {"timestamp": "2026-05-01 12:00:01.5", "publisher_id": "eventalarm.ingest"}
    )
    found = begin_profile(one, ZERO + 3)

    assert found.times == {
        Stage.GENERATED: ZERO,
        Stage.PUBLISHED: ZERO + 1.5,
        Stage.RECEIVED: ZERO + 2,
        Stage.MATCHED: ZERO + 3,
    }
    assert found.reporter == (Checkpoint("link down", ZERO),)
    assert found.publisher == "eventalarm.ingest"


def test_unreadable_times_and_checkpoints_are_left_out() -> None:
    found = begin_profile(event(("checkpoints", 1, "nonsense"), generated=[]), ZERO)

    assert (found.times, found.reporter) == ({Stage.MATCHED: ZERO}, ())


def test_a_delivery_has_its_own_times() -> None:
    one = profile(0, 1, 2, 3, 4)
    sent = one.sent(ZERO + 5, ZERO + 6)

    assert Stage.SENT not in one.times
    assert sent.times[Stage.ANSWERED] == ZERO + 6


@pytest.mark.parametrize(
    ("value", "forced"),
    [("true", True), ("1", True), ("x", True), ("False", False), ("0", False), ("", False)],
)
def test_a_trait_forces_a_profile(value: str, forced: bool) -> None:
    assert is_forced(event(("profile", 1, value))) is forced
    assert not is_forced(event(("other", 1, value)))
