"""The files of the container, as tests read them."""

from __future__ import annotations

import pathlib
import re
from typing import Final

from tests.support.deployment_projects import DEPLOY

FOLDER: Final = DEPLOY / "container"


def instructions(path: pathlib.Path) -> list[tuple[str, str]]:
    """Return the instructions of the last stage, with continued lines joined."""
    text = re.sub(r"\\\n\s*", "", path.read_text())
    lines = [line.partition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    found = [(name, value) for name, _, value in lines]
    last = max(number for number, (name, _) in enumerate(found) if name == "FROM")
    return found[last:]
