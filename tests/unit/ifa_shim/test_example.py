"""The example of the library's own documentation runs, and needs no server."""

from __future__ import annotations

import doctest
import subprocess
import sys

from eventalarm import ifa_shim


def test_the_documented_example_runs() -> None:
    result = doctest.testmod(ifa_shim)
    assert result.attempted > 3
    assert result.failed == 0


def test_the_library_needs_neither_server_nor_database() -> None:
    code = (
        "import sys, eventalarm.ifa_shim; "
        "print([m for m in ('oslo_config', 'sqlalchemy', 'falcon', 'aodh') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
