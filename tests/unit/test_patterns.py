"""Patterns match as fnmatch does, without backtracking."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventalarm.patterns import LONGEST_GLOB, matches_glob, regex_test

GLOBS = st.text(st.sampled_from("ab*?[]!^-\\&~|.:[z0é\n"), max_size=10)
NAMES = st.text(st.sampled_from("ab.[]!^-\\&~|:z0é\n*?"), max_size=8)


@given(NAMES, GLOBS)
def test_a_glob_matches_what_fnmatch_says(name: str, glob: str) -> None:
    assert matches_glob(name, glob) is fnmatch.fnmatchcase(name, glob)


@given(st.text(st.sampled_from("ab*"), max_size=8), st.text(st.sampled_from("ab*"), max_size=8))
def test_stars_match_what_fnmatch_says(name: str, glob: str) -> None:
    assert matches_glob(name, glob) is fnmatch.fnmatchcase(name, glob)


@pytest.mark.parametrize(
    ("name", "glob"), [("\ud800", "[!a]"), ("a", "\ud800?"), ("a", "?" * LONGEST_GLOB + "*")]
)
def test_an_expression_that_re2_refuses_matches_nothing(name: str, glob: str) -> None:
    assert matches_glob(name, glob) is False


@pytest.mark.parametrize("text", ["(", "(?=a)", "a{1001}" * 100])
def test_an_invalid_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        regex_test(text)
