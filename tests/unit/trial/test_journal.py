"""The file of what is broken: on disk before the strike, for one trial at a time."""

from __future__ import annotations

import pathlib

import pytest

from eventalarm.trial.existing_cloud.hosts import parse_host
from eventalarm.trial.existing_cloud.journal import Journal, JournalError, Left
from eventalarm.trial.plugins import Refused


def left(token: str) -> Left:
    host = parse_host("c1", {"options": ["-i", "key"], "port": 2222}, "x")
    return Left(token, host, "kill", "podman start x", "true", 1.5, 120.0)


def test_what_was_written_is_read_by_another(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "new" / "broken.json"
    with Journal(path).locked():
        journal = Journal(path)
        journal.add(left("a"))
        journal.add(left("b"))
        assert Journal(path).left() == (left("a"), left("b"))
        journal.remove("a")
        assert Journal(path).left() == (left("b"),)
    assert not path.with_suffix(".new").exists()


def test_one_trial_at_a_time(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "broken.json"
    with Journal(path).locked(), pytest.raises(Refused, match="another trial is running"):
        Journal(path).locked().__enter__()
    with Journal(path).locked():
        assert Journal(path).left() == ()


@pytest.mark.parametrize("text", ["{", "[{}]", "[1]", '{"a": 1}'])
def test_a_file_of_another_program_is_not_overwritten(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(JournalError, match="move it away"):
        Journal(path).add(left("a"))
    assert path.read_text() == text
