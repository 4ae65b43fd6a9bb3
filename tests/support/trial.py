"""Scenarios for tests of ``eventalarm-trial``, and the command itself."""

from __future__ import annotations

import json
import pathlib
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from tests.support.helpers import console_script

NODE = "node-1"


class Trial:
    """The command on one scenario; its reports and its file of what is broken are in *directory*."""

    def __init__(self, directory: pathlib.Path, host: Mapping[str, Any]) -> None:
        self._host = dict(host)
        self.scenario = directory / "scenario.yaml"
        self.state = directory / "state" / "broken.json"
        self.output = directory / "report"

    def write(self, disruptions: Sequence[Mapping[str, Any]], **sections: Any) -> None:
        """Write the scenario; every disruption is made on the host."""
        document = {
            "name": "test",
            "stage": {"use": "existing-cloud", "hosts": {NODE: self._host}},
            "before": 0.5,
            "after": 0.5,
            "settle": 20,
            "disruptions": [{"host": NODE, **one} if "use" in one else one for one in disruptions],
            **sections,
        }
        self.scenario.write_text(yaml.safe_dump(document, sort_keys=False))

    def command(self, *arguments: str, verb: str = "run") -> list[str]:
        """Return the command line."""
        extra = [str(self.scenario), "--output", str(self.output)] if verb == "run" else []
        return [console_script("eventalarm-trial"), verb, *extra, "--state", str(self.state), *arguments]

    def run(self, *arguments: str, verb: str = "run") -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            self.command(*arguments, verb=verb), capture_output=True, text=True, timeout=90, check=False
        )

    def report(self) -> dict[str, Any]:
        """Return ``report.json``."""
        found: dict[str, Any] = json.loads((self.output / "report.json").read_text())
        return found
