"""``eventalarm-config``: the files of the package, listed, printed and exported."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

from eventalarm import etc
from eventalarm.cmd.config import main
from tests.support import inprocess


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return inprocess.run(main, *words)


def tree(folder: pathlib.Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_every_listed_file_is_exported_and_shown(tmp_path: pathlib.Path) -> None:
    listed = run("list").stdout.split()
    assert {"eventalarm.conf.sample", "event_pipeline.yaml", "event_definitions.d/10-nova.yaml"} <= set(
        listed
    )
    assert (run("export", str(tmp_path / "new")).returncode, sorted(tree(tmp_path / "new"))) == (0, listed)
    for name, content in tree(tmp_path / "new").items():
        assert run("show", name).stdout.encode() == content


def test_only_named_files_are_exported(tmp_path: pathlib.Path) -> None:
    assert run("export", str(tmp_path), "event_definitions.d/", "policy.yaml.sample").returncode == 0
    assert {name.partition("/")[0] for name in tree(tmp_path)} == {
        "event_definitions.d",
        "policy.yaml.sample",
    }


def test_a_changed_file_is_kept_unless_forced(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "event_pipeline.yaml"
    target.write_text("mine\n")
    kept = run("export", str(tmp_path), "event_pipeline.yaml")
    assert (kept.returncode, target.read_text()) == (1, "mine\n")
    assert f"kept {target}, which differs; --force replaces it" in kept.stderr
    assert run("export", str(tmp_path), "event_pipeline.yaml", "--force").returncode == 0
    assert target.read_bytes() == etc.files()["event_pipeline.yaml"].read_bytes()
    again = run("export", str(tmp_path), "event_pipeline.yaml")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("show", "nothing"), "no file nothing; 'eventalarm-config list' lists the files"),
        (("show", "../cmd/config.py"), "no file ../cmd/config.py"),
        (("show", "event_definitions.d"), "is a folder; name one of event_definitions.d/10-nova.yaml"),
        (("export", "/proc/nowhere"), "/proc/nowhere"),
    ],
)
def test_an_error_is_one_line_that_names_the_remedy(words: tuple[str, ...], expected: str) -> None:
    failed = run(*words)
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)
    assert expected in failed.stderr
