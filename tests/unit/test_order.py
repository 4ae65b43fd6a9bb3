"""Each worker of a run begins with long tests, and no test is lost."""

from __future__ import annotations

import pathlib

import pytest

from tests.support.order import FUNCTIONAL, LONG, in_order

ROOT = pathlib.Path(__file__).parents[2]


def file_of(item: str) -> str:
    return item.partition("::")[0]


SHORT = [f"{FUNCTIONAL}test_short_{n}.py" for n in range(30)]
UNIT = [f"tests/unit/test_{n}.py" for n in range(60)]
ITEMS = [f"{name}::test_{n}" for name in sorted([*LONG, *SHORT, *UNIT]) for n in range(4)]


def parts(ordered: list[str], workers: int) -> list[list[str]]:
    """Divide tests among workers as pytest-xdist does at first."""
    found = []
    for number in range(workers):
        size = len(ordered) // (workers - number)
        found.append(ordered[:size])
        ordered = ordered[size:]
    return found


@pytest.mark.parametrize("workers", [2, 3, 4, 7])
def test_each_worker_begins_with_long_files_and_ends_with_short_ones(workers: int) -> None:
    ordered = in_order(ITEMS, file_of, workers)
    assert sorted(ordered) == sorted(ITEMS)
    for part in parts(ordered, workers):
        kinds = [0 if file_of(item) in LONG else 1 if item.startswith(FUNCTIONAL) else 2 for item in part]
        assert kinds == sorted(kinds)
        assert set(kinds) == {0, 1, 2}


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_the_tests_of_a_long_file_stay_together_and_the_load_is_even(workers: int) -> None:
    found = [
        {file_of(item) for item in part} & set(LONG)
        for part in parts(in_order(ITEMS, file_of, workers), workers)
    ]
    assert sum(len(names) for names in found) == len(LONG)
    loads = [sum(LONG[name] for name in names) for names in found]
    assert max(loads) - min(loads) <= max(LONG.values()) / 2


@pytest.mark.parametrize("items", [[], ITEMS[:1], ITEMS[:3], [one for one in ITEMS if file_of(one) in LONG]])
def test_few_tests_are_kept_too(items: list[str]) -> None:
    assert sorted(in_order(items, file_of, 4)) == sorted(items)


@pytest.mark.parametrize("name", LONG)
def test_every_long_file_exists(name: str) -> None:
    assert (ROOT / name).is_file()
