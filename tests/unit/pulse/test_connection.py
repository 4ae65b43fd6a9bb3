"""Which credentials the health checks use, and what they say when there are none."""

from __future__ import annotations

import pathlib
import types
from typing import Any

import pytest
import yaml

from eventalarm import service
from eventalarm.exceptions import InvalidOption
from eventalarm.pulse.connection import connect, tenant_project
from tests.support.helpers import write_config

AUTH = {"username": "watcher", "password": "secret", "project_name": "p", "user_domain_id": "d",
        "project_domain_id": "d"}  # fmt: skip


def configured(folder: pathlib.Path, **sections: Any) -> Any:
    path = write_config(folder / "aodh.conf", {"eventalarm_pulse": {"timeout": 7}, **sections})
    return service.prepare(["--config-file", str(path)], prog="test", description="", epilog="")


def service_credentials(url: str) -> dict[str, Any]:
    return {"service_credentials": {"auth_type": "password", "auth_url": url, "region_name": "r", **AUTH}}


@pytest.fixture
def clouds(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clouds.yaml"
    clouds = {name: {"auth": {"auth_url": f"http://{name}/v3", **AUTH}} for name in ("named", "of-variable")}
    path.write_text(yaml.safe_dump({"clouds": clouds}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))


def url_of(connection: Any) -> str:
    url: str = connection.session.auth.auth_url
    return url


@pytest.mark.usefixtures("clouds")
def test_the_option_goes_before_variables_and_these_before_the_credentials_of_the_service(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = service_credentials("http://shared/v3")
    named = configured(tmp_path, eventalarm_pulse={"cloud": "named", "timeout": 7}, **shared)
    assert url_of(connect(named, {"OS_CLOUD": "of-variable"})) == "http://named/v3"
    unnamed = configured(tmp_path, **shared)
    monkeypatch.setenv("OS_CLOUD", "of-variable")
    assert url_of(connect(unnamed, {"OS_CLOUD": "of-variable"})) == "http://of-variable/v3"
    monkeypatch.delenv("OS_CLOUD")
    made = connect(unnamed, {})
    assert (url_of(made), made.session.timeout) == ("http://shared/v3", 7.0)


def test_without_credentials_the_error_says_what_to_set(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidOption, match=r"\[service_credentials\].*clouds\.yaml"):
        connect(configured(tmp_path), {})


@pytest.mark.usefixtures("clouds")
def test_an_unknown_cloud_is_named_with_its_option(tmp_path: pathlib.Path) -> None:
    conf = configured(tmp_path, eventalarm_pulse={"cloud": "elsewhere"})
    with pytest.raises(InvalidOption, match=r"\[eventalarm_pulse\] cloud.*elsewhere"):
        connect(conf, {})


@pytest.mark.parametrize(
    ("environ", "roles", "project"),
    [
        ({"OS_CLOUD": "mine"}, ["member"], "p-1"),
        ({"OS_CLOUD": "mine"}, ["member", "admin"], ""),
        ({}, ["member"], ""),
    ],
    ids=["a tenant", "an administrator", "the service"],
)
def test_who_runs_a_check_as_a_tenant(
    tmp_path: pathlib.Path, environ: dict[str, str], roles: list[str], project: str
) -> None:
    access = types.SimpleNamespace(role_names=roles, project_id="p-1")
    auth = types.SimpleNamespace(get_access=lambda session: access)
    made = types.SimpleNamespace(session=types.SimpleNamespace(auth=auth))
    assert tenant_project(configured(tmp_path), lambda: made, environ) == project
