"""The files that a deployer copies from the package: samples, event definitions, dashboards.

``eventalarm-config`` lists, shows and exports them; ``eventalarm-definitions`` reads the event definitions.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping
from typing import Final

from eventalarm.exceptions import EventAlarmError

FOLDER: Final = pathlib.Path(__file__).parent
EVENT_DEFINITIONS: Final = FOLDER / "event_definitions.d"


class UnknownFile(EventAlarmError):
    """The package has no file of this name."""


def files() -> Mapping[str, pathlib.Path]:
    """Return every file by its name, which is its path relative to this folder, such as ``a.d/10-b.yaml``."""
    found = {
        path.relative_to(FOLDER).as_posix(): path
        for path in sorted(FOLDER.rglob("*"))
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    return dict(sorted(found.items()))


def select(names: Iterable[str]) -> Mapping[str, pathlib.Path]:
    """Return the files of these names; the name of a folder stands for its files, and no name for every file.

    :raises UnknownFile: naming the first unknown name.
    """
    every = files()
    wanted = [name.rstrip("/") for name in names]
    for name in wanted:
        if not any(_is_part(one, name) for one in every):
            raise UnknownFile(f"the package has no file {name}; 'eventalarm-config list' lists the files")
    return {one: path for one, path in every.items() if not wanted or any(_is_part(one, n) for n in wanted)}


def _is_part(file: str, name: str) -> bool:
    return file == name or file.startswith(f"{name}/")
