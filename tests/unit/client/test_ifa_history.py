"""Where ``openstack ifa history list --marker-file`` continues after output that failed."""

from __future__ import annotations

import io
import pathlib
import types
from typing import Any

import pytest

from eventalarm.client.ifa_api import IfaClient
from eventalarm.client.ifa_history import ListHistory


class Closed(io.StringIO):
    """A pipe whose reader has ended."""

    def flush(self) -> None:
        raise BrokenPipeError


def test_the_marker_moves_once_the_entries_are_printed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if it moves before: entries that were never printed would be skipped."""
    marker, asked = tmp_path / "marker", []

    def transitions(filters: Any, since: str | None) -> tuple[list[dict[str, str]], str]:
        asked.append(since)
        return [{"alarmId": "a-1"}], "m-1"

    monkeypatch.setattr(IfaClient, "of", lambda app: types.SimpleNamespace(transitions=transitions))

    def run(stdout: io.StringIO) -> str:
        app: Any = types.SimpleNamespace(stdout=stdout)
        command = ListHistory(app, None)
        command.run(command.get_parser("list").parse_args(["--marker-file", str(marker), "-f", "json"]))
        return stdout.getvalue()

    with pytest.raises(BrokenPipeError):
        run(Closed())
    assert not marker.exists()
    for _ in range(2):
        assert "a-1" in run(io.StringIO())
    assert (asked, marker.read_text()) == ([None, None, "m-1"], "m-1\n")
