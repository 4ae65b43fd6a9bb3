"""Which severity an alarm has, whoever named it."""

from __future__ import annotations

import pytest

from eventalarm.ifa_shim.settings import Settings


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("critical", "CRITICAL"),
        ("moderate", "MAJOR"),
        ("low", "WARNING"),
        ("major", "MAJOR"),
        ("INDETERMINATE", "INDETERMINATE"),
        ("warning", "WARNING"),
        ("cleared", "MINOR"),
        ("dreadful", "MINOR"),
        (None, "MINOR"),
    ],
)
def test_the_words_of_aodh_and_of_x733(word: str | None, severity: str) -> None:
    assert Settings().severity(word).value == severity
