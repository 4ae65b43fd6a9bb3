"""Pages of the documentation whose commands are run."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import string
import subprocess
from collections.abc import Mapping
from typing import Any, Final

from eventalarm.standalone import sample
from tests.support.openstack_client import openstack

CLIENT: Final = "openstack "


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


def tenant(endpoint: str, roles: str, **names: str) -> dict[str, str]:
    """Return the environment of a tenant of a standalone cloud, with the *names* that a page uses."""
    return {
        "OS_AUTH_TYPE": "aodh-noauth",
        "OS_AODH_ENDPOINT": endpoint,
        "OS_EVENTALARM_INGEST_ENDPOINT": endpoint,
        "OS_PROJECT_ID": sample.project(),
        "OS_USER_ID": "tenant",
        "OS_ROLES": roles,
        **names,
    }


def run_here(commands: str, folder: pathlib.Path, env: Mapping[str, str]) -> list[Any]:
    """Run commands as :func:`run` does, but those of ``openstack`` in this process: imports take seconds."""
    lines = commands.splitlines()
    run("\n".join(line for line in lines if not line.startswith(CLIENT)), folder, env)
    found: list[Any] = []
    for line in (one for one in lines if one.startswith(CLIENT)):
        command, _, file = string.Template(line).substitute(env).partition(" > ")
        words = [str(folder / word) if (folder / word).is_file() else word for word in shlex.split(command)]
        done = openstack(*words[1:], env=env)
        assert done.returncode == 0, f"{line}: {done.stdout} {done.stderr}"
        if file:
            (folder / file).write_text(done.stdout)
        else:
            found.append(json.loads(done.stdout))
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
