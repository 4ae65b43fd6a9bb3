"""The sdist and the wheel: what is in them, their version, and that nothing of them is left behind."""

from __future__ import annotations

import json
import pathlib
import shutil
import sys
import tarfile
import zipfile

from tests.support.distribution import GIT, Distribution, build, install, python_of, run


def test_both_files_are_ready_for_an_index(distribution: Distribution) -> None:
    files = (distribution.sdist, distribution.wheel)
    run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *files, cwd=distribution.source)
    with zipfile.ZipFile(distribution.wheel) as wheel:
        inside = set(wheel.namelist())
        (metadata,) = (wheel.read(name).decode() for name in inside if name.endswith("/METADATA"))
    folder = f"eventalarm-{distribution.version}.dist-info"
    assert {f"{folder}/licenses/LICENSE", "eventalarm/py.typed"} <= inside
    # Whatever is a file of the package in the repository, and nothing else.
    tracked = set(run("git", "ls-files", "eventalarm", cwd=distribution.source).split())
    assert {name for name in inside if not name.startswith(f"{folder}/")} == tracked
    assert "\nProject-URL: Source, " in metadata
    assert "\nLicense: Apache-2.0\n" in metadata


def test_two_builds_of_a_commit_are_equal(distribution: Distribution, tmp_path: pathlib.Path) -> None:
    """Built in another directory, later, and under another umask."""
    clone = tmp_path / "clone"
    run("sh", "-c", 'umask 077; git clone --quiet "$0" "$1"', distribution.source, clone, cwd=tmp_path)
    again = build(clone, tmp_path / "dist")
    assert [path.name for path in again] == [distribution.sdist.name, distribution.wheel.name]
    assert [path.read_bytes() for path in again] == [
        distribution.sdist.read_bytes(),
        distribution.wheel.read_bytes(),
    ]


def version_of(tree: pathlib.Path) -> str:
    return run(sys.executable, "-m", "setuptools_scm", cwd=tree).splitlines()[-1]


def test_the_version_is_that_of_the_tag(distribution: Distribution, tmp_path: pathlib.Path) -> None:
    tree = tmp_path / "tree"
    run("git", "clone", "--quiet", distribution.source, tree, cwd=tmp_path)
    run(*GIT, "tag", "--message", "1.2.0", "1.2.0", cwd=tree)
    assert version_of(tree) == "1.2.0"
    run(*GIT, "commit", "--quiet", "--allow-empty", "--message", "Next", cwd=tree)
    assert version_of(tree) == "1.2.1.dev1"
    archive = run("git", "archive", "--output", tmp_path / "archive.tar", "HEAD", cwd=tree)
    assert archive == ""
    unpacked = tmp_path / "archive"
    with tarfile.open(tmp_path / "archive.tar") as tar:
        tar.extractall(unpacked, filter="data")
    assert version_of(unpacked).startswith("1.2.1.dev1")
    shallow = tmp_path / "shallow"
    run("git", "clone", "--quiet", "--depth", "1", "--no-tags", tree.as_uri(), shallow, cwd=tmp_path)
    assert version_of(shallow) == "0.1.dev1"
    shutil.rmtree(shallow / ".git")
    assert version_of(shallow) == "0.1.dev0"


def test_an_installed_wheel_is_listed_and_leaves_nothing_behind(
    distribution: Distribution, tmp_path: pathlib.Path
) -> None:
    prefix = tmp_path / "prefix"
    before = install(None, prefix)
    install(distribution.wheel, prefix)
    assert before < set(prefix.rglob("*"))
    listed = run(prefix / "bin/eventalarm-config", "list", cwd=tmp_path).split()
    assert "event_definitions.d/10-nova.yaml" in listed
    version = run(prefix / "bin/eventalarm-config", "--version", cwd=tmp_path)
    assert version == f"eventalarm-config {distribution.version}\n"
    bom = tmp_path / "bom.json"
    tool = (sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible")
    run(*tool, "--output-file", bom, prefix, cwd=tmp_path)
    found = json.loads(bom.read_text())
    # The environment of the test run, which stands behind, has the package as well.
    said = {one["version"]: one for one in found["components"] if one["name"] == "eventalarm"}
    ours = said[distribution.version]
    assert found["bomFormat"] == "CycloneDX"
    assert [one["license"]["id"] for one in ours["licenses"]] == ["Apache-2.0"]
    run(*python_of(prefix), "-m", "pip", "uninstall", "--yes", "eventalarm", cwd=tmp_path)
    assert set(prefix.rglob("*")) - before == set()
