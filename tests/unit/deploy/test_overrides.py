"""Each override adds one publisher to what its deployment project has, and changes nothing else."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

from tests.support.deployment_projects import DATA, DEPLOY, PROJECTS, kolla_ansible, load, publishers

ROOT = DEPLOY.parent
PAGE = ROOT / "doc/source/install/deployment-projects.rst"
# What they publish without us: nothing that an evaluator of event alarms reads.
THEIRS = {
    "kolla-ansible": ["gnocchi://"],
    "openstack-helm": ["notifier://", "gnocchi://"],
    "openstack-ansible": ["notifier://"],
    "rhoso": [],
}

FOLDERS = {"ceilometer", "globals.d", "openstack-helm", "openstack-ansible", "rhoso"}
FILES = sorted(path for path in DEPLOY.rglob("*.y*ml") if path.parent.name in FOLDERS)

needs_helm = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is missing")


@pytest.mark.parametrize("project", PROJECTS)
def test_an_override_adds_our_publisher_last(project: str) -> None:
    base, merged = PROJECTS[project]()
    assert publishers(base) == THEIRS[project]
    assert publishers(merged) == [*THEIRS[project], "eventalarm://"]
    if base["sources"]:
        assert merged["sources"] == base["sources"]


def test_kolla_ansible_without_gnocchi_publishes_to_us_alone() -> None:
    assert publishers(kolla_ansible(gnocchi=False)[1]) == ["eventalarm://"]


@needs_helm
def test_helm_merges_the_values_as_we_do(tmp_path: pathlib.Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: ceilometer\nversion: 0.1.0\n")
    (tmp_path / "templates/pipeline.yaml").write_text("{{ toYaml .Values.conf.event_pipeline }}\n")
    shutil.copy(DATA / "openstack-helm.yaml", tmp_path / "values.yaml")
    values = DEPLOY / "openstack-helm/ceilometer.yaml"
    done = subprocess.run(
        ["helm", "template", "ceilometer", tmp_path, "--values", values, "--disable-openapi-validation"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert yaml.safe_load(done.stdout) == PROJECTS["openstack-helm"]()[1]


def test_the_page_shows_every_file() -> None:
    shown = re.findall(r"literalinclude:: \.\./\.\./\.\./(\S+)", PAGE.read_text())
    assert sorted(shown) == [str(path.relative_to(ROOT)) for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_says_where_it_goes(path: pathlib.Path) -> None:
    assert path.read_text().startswith("---\n# ")
    assert "{%" in path.read_text() or load(path)
