"""The sdist and the wheel of the working tree, built once for a test run without touching the tree."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Mapping

ROOT = pathlib.Path(__file__).parents[2]
EPOCH = "1750000000"
SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"
GIT = ("git", "-c", "user.name=maintainer", "-c", "user.email=maintainer@example.org")


@dataclasses.dataclass(frozen=True)
class Distribution:
    """A git repository with one commit, the files of the working tree, and what was built from it."""

    source: pathlib.Path
    sdist: pathlib.Path
    wheel: pathlib.Path

    @property
    def version(self) -> str:
        """The version in the names of both files."""
        return self.wheel.name.split("-")[1]


def run(*command: str | os.PathLike[str], cwd: pathlib.Path, env: Mapping[str, str] | None = None) -> str:
    """Run a program and return what it printed; its output is in the error if it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout[-4000:]}"
    return done.stdout


def copy_source(target: pathlib.Path) -> pathlib.Path:
    """Copy the tracked and the new files of the working tree to *target*, and commit them there."""
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    run("git", "init", "--quiet", "--initial-branch=main", cwd=target)
    run("git", "add", "--all", cwd=target)
    run(*GIT, "commit", "--quiet", "--message", "Import", cwd=target)
    return target


def build(source: pathlib.Path, target: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Build the sdist of *source* and from it the wheel, as ``tox -e build`` does; return both files."""
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", target, source)
    run(*command, cwd=source, env={"SOURCE_DATE_EPOCH": EPOCH})
    (sdist,), (wheel,) = target.glob("*.tar.gz"), target.glob("*.whl")
    return sdist, wheel


def install(wheel: pathlib.Path | None, prefix: pathlib.Path) -> set[pathlib.Path]:
    """Install *wheel* into an environment of its own in *prefix*; return every path below *prefix*.

    The environment is created if it is missing. What the package requires is that of the test run, which
    stands behind the environment.
    """
    if not prefix.exists():
        run(sys.executable, "-m", "venv", "--without-pip", prefix, cwd=prefix.parent)
        site = pathlib.Path(run(prefix / "bin/python", "-c", SITE, cwd=prefix.parent).strip())
        (site / "behind.pth").write_text("".join(f"{path}\n" for path in sys.path if "site-packages" in path))
    if wheel is not None:
        run(
            *python_of(prefix),
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--no-index",
            "--no-compile",
            wheel,
            cwd=prefix.parent,
        )
    return set(prefix.rglob("*"))


def python_of(prefix: pathlib.Path) -> tuple[str, ...]:
    """Return the command that runs the interpreter of an environment and writes no bytecode to it."""
    return (str(prefix / "bin/python"), "-B")


def shared_distribution(folder: pathlib.Path) -> Distribution:
    """Return what the first process of a test run built in *folder*; the others wait for it."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        source, target = folder / "source", folder / "dist"
        if not target.exists():
            shutil.rmtree(source, ignore_errors=True)
            source.mkdir()
            made = folder / "made"
            shutil.rmtree(made, ignore_errors=True)
            build(copy_source(source), made)
            made.rename(target)
    (sdist,), (wheel,) = target.glob("*.tar.gz"), target.glob("*.whl")
    return Distribution(source, sdist, wheel)
