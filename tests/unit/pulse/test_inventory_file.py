"""The file of an inventory appears once it is complete, for its owner only; a failure leaves none."""

from __future__ import annotations

import datetime
import pathlib
import stat
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from eventalarm.pulse.comparison import BrokenService, Change
from eventalarm.pulse.inventory import SERVICE_TYPES, Header, InvalidInventory, Item, Kind
from eventalarm.pulse.inventory_file import FileProblem, age, compare_with, read, take
from eventalarm.pulse.survey import Survey, SurveyFailed

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
WANTED = Header("cloud", NOW, "", (Kind.SERVER, Kind.ROUTER, Kind.LOAD_BALANCER))
ITEMS = {
    Kind.SERVER: [Item(Kind.SERVER, f"s-{n}", "web", "ACTIVE", "a") for n in range(250)],
    Kind.ROUTER: [Item(Kind.ROUTER, "r-1", "edge", "ACTIVE", "a")],
}


class StandInSurvey(Survey):
    """Lists what it is given; the services of ``failing`` fail in the middle."""

    def __init__(self, items: dict[Kind, list[Item]], failing: tuple[Kind, ...] = ()) -> None:
        self.listed = items
        self.failing = failing

    def offered(self, kinds: Iterable[Kind]) -> tuple[Kind, ...]:
        return tuple(kind for kind in kinds if kind in self.listed)

    def items(self, kind: Kind) -> Iterator[Item]:
        yield from self.listed[kind]
        if kind in self.failing:
            raise SurveyFailed("503")


def test_what_is_offered_is_written_for_the_owner_only(tmp_path: pathlib.Path) -> None:
    path, lines = tmp_path / "before.json", list[str]()
    header, numbers = take(StandInSurvey(ITEMS), path, WANTED, lines.append)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (header.kinds, header.absent) == ((Kind.SERVER, Kind.ROUTER), (Kind.LOAD_BALANCER,))
    assert numbers == {Kind.SERVER: 250, Kind.ROUTER: 1}
    assert lines == ["100 servers", "200 servers", "250 servers", "1 router"]
    assert read(path) == (header, (*ITEMS[Kind.SERVER], *ITEMS[Kind.ROUTER]))


def test_a_service_that_fails_leaves_no_file_and_keeps_the_one_before(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "before.json"
    for before in (None, "kept"):
        if before:
            path.write_text(before)
        with pytest.raises(SurveyFailed):
            take(StandInSurvey(ITEMS, failing=(Kind.ROUTER,)), path, WANTED)
        assert [one.read_text() for one in tmp_path.iterdir()] == ([before] if before else [])


def test_a_folder_that_does_not_exist_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileProblem, match=r"nowhere.*No such file"):
        take(StandInSurvey(ITEMS), tmp_path / "nowhere" / "x.json", WANTED)
    with pytest.raises(FileProblem, match="No such file"):
        read(tmp_path / "x.json")


def test_the_file_is_named_with_what_is_wrong_with_it(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInventory, match=r"x\.json: is not a text file"):
        read(path)
    path.write_text("{}")
    with pytest.raises(InvalidInventory, match=r"x\.json: was not written by"):
        read(path)


@pytest.mark.parametrize(
    ("survey", "error"),
    [
        (StandInSurvey(ITEMS, failing=(Kind.ROUTER,)), "503"),
        (StandInSurvey({Kind.SERVER: ITEMS[Kind.SERVER]}), ""),
    ],
    ids=["fails", "gone"],
)
def test_a_service_that_was_in_the_inventory_is_a_fault_once(survey: Survey, error: str) -> None:
    header = Header("cloud", NOW, "", (Kind.SERVER, Kind.NETWORK, Kind.ROUTER))
    if error:
        survey.listed[Kind.NETWORK] = []  # type: ignore[attr-defined]
    found = compare_with(survey, header, [*ITEMS[Kind.SERVER], *ITEMS[Kind.ROUTER]])
    left = (Kind.ROUTER,) if error else (Kind.NETWORK, Kind.ROUTER)
    assert found.broken == (BrokenService(SERVICE_TYPES[Kind.ROUTER], left, error),)
    assert Change.MISSING not in {one.change for one in found.differences}


@pytest.mark.parametrize(("minutes", "text"), [(0, "0 minutes"), (119, "119 minutes"), (150, "2 hours")])
def test_how_old_an_inventory_is(minutes: int, text: str) -> None:
    assert age(WANTED, NOW + datetime.timedelta(minutes=minutes)) == text


def test_a_survey_needs_no_other_argument_than_its_file() -> None:
    made: Any = Survey(None, (OSError,), page_size=1)
    assert set(made._lists) == set(Kind)
