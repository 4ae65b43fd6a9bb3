"""That every edge case of the list of decisions has a test that bears its number."""

from __future__ import annotations

import pathlib
import re

TESTS = pathlib.Path(__file__).parents[2]
NUMBERED = re.compile(r"^def test_(\d\d)_", re.MULTILINE)
CASES = 30


def test_every_edge_case_is_a_named_test() -> None:
    files = [*TESTS.glob("functional/test_ifa_*.py"), *TESTS.glob("unit/ifa_shim/test_*.py")]
    found = {int(number) for file in files for number in NUMBERED.findall(file.read_text(encoding="utf-8"))}
    assert set(range(1, CASES + 1)) - found == set()
