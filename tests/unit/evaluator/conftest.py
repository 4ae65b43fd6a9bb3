"""Fixtures of the tests of the evaluator."""

from __future__ import annotations

import pytest

from tests.support.builders import definition, rule
from tests.support.definitions_cache import Cached


@pytest.fixture
def cached() -> Cached:
    """A cache that holds one project with one alarm."""
    made = Cached()
    made.source.put(definition("a", rule("*", state="error")))
    assert made.found() == {"a"}
    return made
