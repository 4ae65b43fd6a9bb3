"""The file of an inventory: what is written can be read, and anything else is refused with the reason."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from eventalarm.pulse.inventory import Header, InvalidInventory, Item, Kind, lines_of, parse

TAKEN = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
HEADER = Header("cloud", TAKEN, "project", (Kind.SERVER, Kind.ROUTER), (Kind.LOAD_BALANCER,))
ITEMS = (
    Item(Kind.SERVER, "s-1", 'a "name"\nof two lines', "ACTIVE", "project"),
    Item(Kind.ROUTER, "r-1", "", "", ""),
)


def written(header: Header = HEADER, items: tuple[Item, ...] = ITEMS) -> str:
    return "\n".join(lines_of(header, items))


@pytest.mark.parametrize("items", [(), ITEMS[:1], ITEMS])
def test_what_is_written_can_be_read(items: tuple[Item, ...]) -> None:
    assert parse(written(HEADER, items)) == (HEADER, items)


def test_each_item_has_one_line() -> None:
    assert len(written().splitlines()) == 2 + len(ITEMS)


@pytest.mark.parametrize("kept", range(4))
def test_a_file_that_was_not_written_completely_is_refused(kept: int) -> None:
    part = "\n".join(list(lines_of(HEADER, ITEMS))[:kept])
    with pytest.raises(InvalidInventory, match="not written completely"):
        parse(part)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "other"}, "eventalarm-pulse snapshot"),
        ({"version": 2}, "version 2"),
        ({"items": None}, "invalid field"),
        ({"items": [{"kind": "server"}]}, "invalid field"),
        ({"kinds": ["toaster"]}, "toaster"),
        ({"taken_at": "2026-03-01T12:00:00"}, "time zone"),
        ({"project_id": 7}, "must be a string"),
    ],
)
def test_an_invalid_file_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInventory, match=reason):
        parse(json.dumps(json.loads(written()) | change))


def test_a_list_is_no_inventory() -> None:
    with pytest.raises(InvalidInventory, match="eventalarm-pulse snapshot"):
        parse("[]")
