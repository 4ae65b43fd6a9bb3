"""Pages of the documentation whose commands are run."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
from collections.abc import Mapping
from typing import Any


def blocks(page: pathlib.Path) -> dict[str, str]:
    """Return the commands under each heading, those of several blocks one after the other."""
    found: dict[str, str] = {}
    heading = ""
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line and re.fullmatch(r"=+", lines[number + 1] if number + 1 < len(lines) else ""):
            heading = line
        elif line.startswith("    "):
            found[heading] = found.get(heading, "") + line[4:] + "\n"
        elif not line and heading in found:
            found[heading] += "\n"
    return found


def run(commands: str, folder: pathlib.Path, env: Mapping[str, str]) -> list[Any]:
    """Run commands in bash; return the JSON documents that they printed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{commands}: {done.stdout} {done.stderr}"
    decoder, found, text = json.JSONDecoder(), [], done.stdout.strip()
    while text:
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:].strip()
    return found
