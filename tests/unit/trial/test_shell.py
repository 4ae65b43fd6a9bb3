"""Scripts on hosts: errors name the host, and what does not work yet is asked again."""

from __future__ import annotations

import pathlib
import time

import pytest

from eventalarm.trial.existing_cloud.hosts import Host
from eventalarm.trial.existing_cloud.shell import ShellError, run, wait_for

HERE = Host("here", "local")


def test_the_output_is_returned() -> None:
    assert run(HERE, "echo a; echo b >&2") == "a\nb\n"


@pytest.mark.parametrize(
    ("host", "script", "words"),
    [
        (HERE, "echo broken; exit 3", "here: exit code 3: echo broken; exit 3: broken"),
        (HERE, "exit 1", "no output"),
        (HERE, "sleep 30", "here: not finished within 0.2 s"),
        (Host("c1", "ssh", "127.0.0.1", port=1), "true", "c1: cannot be reached as 127.0.0.1:1: ssh"),
    ],
)
def test_an_error_names_the_host_and_what_it_said(host: Host, script: str, words: str) -> None:
    with pytest.raises(ShellError, match=words):
        run(host, script, 0.2 if "sleep" in script else 30)


def test_what_does_not_work_yet_is_asked_again(tmp_path: pathlib.Path) -> None:
    """Red if the first failure counts, or nothing is done between two looks."""
    there = tmp_path / "there"
    calls: list[float] = []

    def between() -> None:
        calls.append(time.monotonic())
        if len(calls) == 2:
            there.touch()

    wait_for(HERE, f"test -e {there}", 10, between)
    assert len(calls) == 2


def test_what_never_works_is_an_error() -> None:
    with pytest.raises(ShellError, match="exit code 1"):
        wait_for(HERE, "false", 0.1)
