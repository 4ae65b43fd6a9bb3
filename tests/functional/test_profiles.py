"""Profiles in the outbox: stored with rows that are written anyway, whichever process sends."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import pytest

from eventalarm.cmd import profile as command
from eventalarm.model import Checkpoint, Delivery, Profile, Stage
from eventalarm.storage import database as storage
from eventalarm.storage.delivery_selection import Selection
from eventalarm.storage.outbox import Outbox
from eventalarm.storage.profiles import ProfileStore, TooManyCheckpoints
from tests.support.deliveries import make_delivery
from tests.support.delivery_rows import delivery_row, put
from tests.support.outbox import LONG, done, enqueue, lose, rows
from tests.support.profiles import ZERO, profile

ALL = Selection(profiled=True)


def profiled(at: float = 0, **fields: Any) -> Delivery:
    return make_delivery(profile=profile(*(at + n / 100 for n in range(5))), **fields)


def with_profile(item: Delivery, answered: float) -> Any:
    assert item.profile is not None
    return dataclasses.replace(done(item), profile=item.profile.sent(ZERO, ZERO + answered).text())


def stored(database: storage.Database) -> list[str | None]:
    return [row["profile"] for row in rows(database)]


@pytest.fixture
def outbox(opened: storage.Database) -> Outbox:
    made = Outbox(opened)
    made.register("w", "host", LONG)
    return made


def answered(texts: list[str | None]) -> list[float | None]:
    found = [Profile.parse(text) for text in texts]
    return [None if one is None else one.times.get(Stage.ANSWERED) for one in found]


@pytest.mark.parametrize("alike", [True, False])
def test_only_profiled_deliveries_have_their_profile_written(
    opened: storage.Database, outbox: Outbox, alike: bool
) -> None:
    """Red when one profile is written to all deliveries of a batch, or erased by another's result."""
    items = [make_delivery(), profiled(), make_delivery(), profiled(1), profiled(2)]
    enqueue(opened, outbox, items, "w")
    assert [text is not None for text in stored(opened)] == [False, True, False, True, True]
    results = [done(items[0]), with_profile(items[1], 5), done(items[2]), with_profile(items[3], 6)]
    # Results that differ are written by another statement.
    last = dataclasses.replace(done(items[4]), status=200 if alike else 204)
    outbox.record("w", [*results, last])

    assert answered(stored(opened)) == [None, ZERO + 5, None, ZERO + 6, None]
    third = Profile.parse(stored(opened)[4])
    assert third is not None
    assert third.times == items[4].profile.times  # type: ignore[union-attr]


def test_another_process_sends_with_the_profile_so_far(opened: storage.Database, outbox: Outbox) -> None:
    """Red when the profile is not read with a claimed delivery."""
    item = profiled()
    enqueue(opened, outbox, [item], "w")
    taken = lose(outbox, item, "other")

    assert taken.profile is not None
    assert taken.profile.text() == item.profile.text()  # type: ignore[union-attr]


def test_the_newest_profiles_are_found_among_many_deliveries(opened: storage.Database) -> None:
    text = profile(0, 0.1, 0.2).text()
    made = put(opened, [delivery_row("a", n, profile=text if n % 10 == 0 else None) for n in range(40)])
    put(opened, [delivery_row("b", 99, profile=text)])
    put(opened, [delivery_row("a", 99, profile="{broken")])
    store = ProfileStore(opened)

    def names(wanted: Selection, limit: int = 2) -> list[str]:
        return [one.names["delivery_id"] for one in store.newest(wanted, limit)]

    of_a = dataclasses.replace(ALL, project_id="a")
    assert names(of_a, 3) == [made[30], made[20]]
    assert names(dataclasses.replace(ALL, delivery_ids=(made[10],))) == [made[10]]
    assert names(dataclasses.replace(ALL, alarm_id="b-alarm")) != []
    assert names(dataclasses.replace(ALL, delivery_ids=(made[11],))) == []
    assert len(names(ALL, 10)) == 5


def test_what_consumers_add_is_kept_apart_and_bounded(opened: storage.Database) -> None:
    """Red when the result of an attempt, written after the consumer's report, erases it."""
    (known, plain) = put(
        opened,
        [delivery_row("a", 0, profile=profile(0, 0.1).text()), delivery_row("a", 1, profile=None)],
    )
    store = ProfileStore(opened)

    assert store.project_of(known) == "a"
    assert store.project_of("nothing") is None
    assert store.add_handled(known, "b", [Checkpoint("moved", ZERO)]) is None
    assert store.add_handled(plain, "a", [Checkpoint("moved", ZERO)]) is False
    assert store.add_handled(known, "a", [Checkpoint("moved", ZERO + 1), Checkpoint("told", ZERO + 3)])
    assert store.add_handled(known, "a", [Checkpoint("moved", ZERO + 2)])
    (found,) = store.newest(ALL, 1)
    added = {one.checkpoint: one.begin + one.seconds for one in found.breakdown.stages[1:]}
    assert added == pytest.approx({"moved": 2.0, "told": 3.0})
    with pytest.raises(TooManyCheckpoints, match="at most 16"):
        store.add_handled(known, "a", [Checkpoint(f"c{n}", ZERO) for n in range(15)])


def run(url: str, tmp_path: pathlib.Path, *arguments: str) -> int:
    conf = tmp_path / "aodh.conf"
    conf.write_text(f"[database]\nconnection = {url}\n")
    return command.main([f"--config-file={conf}", *arguments])


def test_the_command_shows_the_newest(
    our_sqlite_url: str, lite_database: storage.Database, tmp_path: pathlib.Path, capsys: Any
) -> None:
    assert run(our_sqlite_url, tmp_path) == 1
    assert "profile_sampling" in capsys.readouterr().err
    put(lite_database, [delivery_row("a", n, profile=profile(0, 0.1, 0.1 + n).text()) for n in range(3)])

    assert run(our_sqlite_url, tmp_path) == 0
    text = capsys.readouterr().out
    assert text.startswith("a disk on a-vm: 2100.0 ms")
    assert text.isascii()
    assert run(our_sqlite_url, tmp_path, "--last", "3", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["total_seconds"] for one in found] == pytest.approx([2.1, 1.1, 0.1])
    page = tmp_path / "out.html"
    assert run(our_sqlite_url, tmp_path, "--last", "3", "--html", str(page)) == 0
    assert page.read_text().count("<svg") == 3
    with pytest.raises(SystemExit) as stopped:
        run(our_sqlite_url, tmp_path, "--html", str(tmp_path / "no" / "out.html"))
    assert stopped.value.code == 2
    assert "choose another file" in capsys.readouterr().err
