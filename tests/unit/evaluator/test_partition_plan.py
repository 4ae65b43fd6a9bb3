"""How processes share partitions out, and when a gated message may be evaluated."""

from __future__ import annotations

import datetime
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventalarm.evaluator.partition_plan import Gate, share_out
from eventalarm.evaluator.partition_settling import gate_time
from eventalarm.model import UTC
from eventalarm.publisher.partitions import Partition, all_of
from eventalarm.storage.partition_leases import IDLE, Lease, Leases

SKEW = datetime.timedelta(seconds=0.5)
START = datetime.datetime(2026, 11, 27, tzinfo=UTC)


def at(seconds: float) -> datetime.datetime:
    return START + datetime.timedelta(seconds=seconds)


def settle(count: int, owners: dict[Partition, str | None], members: list[str]) -> list[dict[str, int]]:
    """Let every process act in turn until nothing changes; return how many moved in each round."""
    rounds = []
    for _ in range(10):
        moved: Counter[str] = Counter()
        for me in members:
            shift = share_out(all_of(count), owners, members, me)
            for one in shift.give:
                owners[one] = None
            for one in shift.take:
                assert owners.get(one) not in members
                owners[one] = me
            moved[me] += len(shift.give) + len(shift.take)
        rounds.append(dict(moved))
        if not moved.total():
            break
    return rounds


@given(
    count=st.integers(1, 40),
    members=st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=9, unique=True),
    data=st.data(),
)
def test_whatever_was_before_each_process_gets_its_share(
    count: int, members: list[str], data: st.DataObject
) -> None:
    former = st.sampled_from([*members, "gone", None])
    owners = {one: data.draw(former) for one in all_of(count)}
    rounds = settle(count, owners, members)
    assert not sum(rounds[-1].values())
    shares = Counter(owners.values())
    assert set(shares) <= set(members)
    assert max(shares[m] for m in members) - min(shares[m] for m in members) <= 1


def test_a_process_that_joins_moves_only_its_own_share() -> None:
    owners: dict[Partition, str | None] = {one: "ab"[one.number % 2] for one in all_of(6)}
    before = dict(owners)
    settle(6, owners, ["a", "b", "c"])
    assert sum(owners[one] != before[one] for one in owners) == 2


def test_a_message_waits_until_everything_before_it_is_evaluated() -> None:
    gate = Gate()
    assert gate.admit(["one"]) == []
    gate.mark()
    assert gate.admit(["two"]) == []  # after the mark: it may be younger than the clock
    assert gate.advance(at(1), at(0.5), idle=False) == []
    gate.mark()
    assert gate.advance(at(2), at(1), idle=False) == ["one"]
    assert gate.advance(at(3), None, idle=False) == []
    assert gate.advance(at(3), at(2), idle=False) == ["two"]


def test_a_clock_that_goes_back_neither_loses_nor_reorders_messages() -> None:
    """Red when a later message with an earlier time is passed on, and the one before it is forgotten."""
    gate = Gate()
    gate.admit(["one"])
    gate.mark()
    assert gate.advance(at(5), at(0), idle=False) == []
    gate.admit(["two"])
    gate.mark()
    assert gate.advance(at(1), at(2), idle=False) == []
    assert gate.advance(at(6), at(5), idle=False) == ["one", "two"]


def test_nothing_waits_for_topics_that_are_idle() -> None:
    gate = Gate()
    gate.admit(["one"])
    gate.mark()
    gate.admit(["two"])
    assert gate.advance(at(1), IDLE, idle=True) == ["one", "two"]
    assert gate.admit(["three"]) == ["three"]
    assert gate.advance(at(2), at(1), idle=False) == []
    assert gate.admit(["four"]) == []
    assert gate.clear() == ["four"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({"2.0": None, "2.1": None}, (True, IDLE)),
        ({"2.0": None, "1.0": IDLE, "3.2": IDLE}, (True, IDLE)),
        ({"1.0": IDLE, "3.0": START}, (False, START - SKEW)),
        ({"1.0": at(1), "3.0": START}, (False, START - SKEW)),
        ({"1.0": None, "3.0": START}, (False, None)),
    ],
)
def test_partitions_of_another_number_decide(
    rows: dict[str, datetime.datetime | None], expected: tuple[bool, datetime.datetime | None]
) -> None:
    leases = Leases(START, {label: Lease(None, 0, moment) for label, moment in rows.items()}, {})
    assert gate_time(leases, 2, SKEW) == expected
