"""Configuration of all tests: Hypothesis draws the same examples every time, unless it is to explore.

``--hypothesis-profile=explore`` draws new examples, ``EVENTALARM_EXAMPLES=20`` asks for twenty times as many.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest

from tests.support.order import in_order

FIGURE = "figure"

hypothesis.settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, print_blob=True, suppress_health_check=[]
)
hypothesis.settings.register_profile("explore", deadline=None, print_blob=True)
hypothesis.settings.load_profile("ci")


def pytest_configure() -> None:
    """Let programs that tests start receive SIGINT, even if the run itself is a background job of a shell.

    Also keep eventlet from importing its DNS resolver, which costs 0.2 s at each start.
    """
    os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each worker of a run begin with long tests, so that none runs alone at the end."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = in_order(items, lambda item: item.nodeid.partition("::")[0], workers)


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Print a measured figure at the end of the run: ``figure("notification to topic: p50 6 ms")``."""
    return lambda text: record_property(FIGURE, text)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what tests measured; the figures are for people and never decide whether a test passes."""
    figures = [
        str(value)
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == FIGURE
    ]
    if figures:
        terminalreporter.section("measured")
        for text in figures:
            terminalreporter.write_line(text)
