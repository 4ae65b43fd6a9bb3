"""The recipes of the page about orchestration."""

from __future__ import annotations

import pathlib
import re
import textwrap

PAGE = pathlib.Path(__file__).parents[2] / "doc/source/user/orchestration.rst"


def documented(position: int) -> str:
    """Return the text of one of the YAML documents of the page."""
    found = re.findall(r"code-block:: yaml\n\n((?:   .*\n|\n)+)", PAGE.read_text())
    return textwrap.dedent(found[position])
