"""Environments with a wrong clock, by libfaketime."""

from __future__ import annotations

import glob
import pathlib


def faked_clock(offset: float | pathlib.Path) -> dict[str, str]:
    """Return the environment of a program whose wall clock is *offset* seconds ahead, or as a file says."""
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        raise RuntimeError("libfaketime is not installed: apt-get install libfaketime")
    moved = {"FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1"}
    return {
        "LD_PRELOAD": found[0],
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        **(moved if isinstance(offset, pathlib.Path) else {"FAKETIME": f"{offset:+f}"}),
    }


def faked_python(offset: float | pathlib.Path, folder: pathlib.Path) -> dict[str, str]:
    """Return the environment of a Python program whose clock is *offset* seconds ahead, or as a file says.

    libfaketime breaks the system call of ``time.sleep``, so that one is replaced by a module in *folder*.
    """
    sleep = "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"
    folder.joinpath("sitecustomize.py").write_text(sleep)
    return {**faked_clock(offset), "PYTHONPATH": str(folder)}


def set_clock(path: pathlib.Path, ahead: float) -> None:
    """Set the clocks that depend on the file *path* that many seconds ahead."""
    fresh = path.with_suffix(".new")
    fresh.write_text(f"{ahead:+f}\n")
    fresh.replace(path)
