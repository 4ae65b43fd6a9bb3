"""What the monitor of guests costs those who do not use it, and what it needs itself."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

ROOMS = pathlib.Path(__file__).parents[3] / "eventalarm"
LOADED = "import sys, {module}; print(sorted({{name.split('.')[0] for name in sys.modules}} & {unwanted}))"


def loaded(module: str, unwanted: set[str]) -> str:
    """Return which of the *unwanted* packages the import of *module* loads, in a process of its own."""
    code = LOADED.format(module=module, unwanted=unwanted)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_only_the_command_imports_the_room() -> None:
    users = [
        str(path.relative_to(ROOMS))
        for path in ROOMS.rglob("*.py")
        if "eventalarm.guest" in path.read_text() and path.parent.name != "guest"
    ]
    assert users == ["cmd/guest_monitor.py"]


@pytest.mark.parametrize("module", ["eventalarm.cmd.guest_monitor", "eventalarm.guest.process"])
def test_libvirt_is_imported_when_it_is_used(module: str) -> None:
    """Red when libvirt is imported at the start: ``list`` of a directory would need it."""
    assert loaded(module, {"libvirt", "libvirt_qemu"}) == "[]"


def test_the_monitor_loads_neither_database_nor_broker() -> None:
    unwanted = {"sqlalchemy", "oslo_messaging", "oslo_db", "aodh", "ceilometer", "falcon", "aiohttp"}
    assert loaded("eventalarm.guest.process", unwanted) == "[]"
