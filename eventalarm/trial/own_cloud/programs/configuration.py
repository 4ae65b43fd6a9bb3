"""Configuration files of a trial's programs, and the tables of Aodh."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Mapping
from typing import Any

from eventalarm.trial.own_cloud.programs.processes import console_script


def write_config(path: pathlib.Path, sections: Mapping[str, Mapping[str, Any]]) -> pathlib.Path:
    """Write an oslo.config file; list values become repeated lines."""
    lines = []
    for section, options in sections.items():
        lines.append(f"[{section}]")
        for name, value in options.items():
            values = value if isinstance(value, list) else [value]
            lines.extend(f"{name} = {one}" for one in values)
        lines.append("")
    path.write_text("\n".join(lines))
    return path


def aodh_config(
    tmp_path: pathlib.Path, database_url: str, transport_url: str, **sections: Mapping[str, Any]
) -> pathlib.Path:
    """Write the ``aodh.conf`` that Aodh's programs and ours share and return its path.

    There is one worker, so that a test knows which process did what, unless it sets more.
    *sections* add or override options: ``eventalarm={"workers": 2}, DEFAULT={"debug": True}``.
    """
    merged: dict[str, dict[str, Any]] = {
        "DEFAULT": {"transport_url": transport_url},
        "database": {"connection": database_url, "max_retries": 0},
        "eventalarm": {"workers": 1},
        # Consumers of tests are on this host.
        "eventalarm_delivery": {"allow_networks": "127.0.0.0/8,::1/128"},
    }
    for section, options in sections.items():
        merged.setdefault(section, {}).update(options)
    return write_config(tmp_path / "aodh.conf", merged)


def create_aodh_schema(tmp_path: pathlib.Path, database_url: str) -> None:
    """Give the database Aodh's tables, by Aodh's own command."""
    conf = aodh_config(tmp_path, database_url, "fake://")
    done = subprocess.run(
        [console_script("aodh-dbsync"), "--config-file", str(conf)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
