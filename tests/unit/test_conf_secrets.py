"""Secrets that are not in configuration files, read by the drivers of oslo.config and of castellan."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re

import pytest
from oslo_config import cfg

from eventalarm import service
from tests.support.helpers import WebhookSink
from tests.support.tls import Authority, tls_server

PAGE = pathlib.Path(__file__).parents[2] / "doc/source/configuration/index.rst"
SECRET = "sqlite:///of-the-secret"
SECRET_ID = "6c1a0a7b-8f0e-4f0c-9d55-3c8e1a1c2b77"


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The home directory, whose configuration commands read."""
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".eventalarm").mkdir()
    return tmp_path


def read(home: pathlib.Path, text: str) -> cfg.ConfigOpts:
    """Return the configuration of a command whose file is *text*."""
    (home / ".eventalarm/eventalarm.conf").write_text(text)
    return service.prepare((), prog="eventalarm-test", description="", epilog="")


def example(start: str, **replaced: str) -> str:
    """Return the block of the documentation that begins with *start*, with other values in it."""
    lines = PAGE.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.strip() == start)
    indent = len(lines[first]) - len(lines[first].lstrip())
    block = []
    for line in lines[first:]:
        if line and len(line) - len(line.lstrip()) < indent:
            break
        block.append(line[indent:])
    text = "\n".join(block)
    for name, value in replaced.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        assert count == 1, name
    return text


def test_secrets_are_read_from_a_web_server_that_demands_a_certificate(home: pathlib.Path) -> None:
    """The example of the documentation: TLS on both sides."""
    authority = Authority(home)
    certificate, key = authority.issue("eventalarm")
    served = f"[database]\nconnection = {SECRET}\n".encode()
    with tls_server(authority, client_certificate=True, body=served) as (port, seen):
        text = example(
            "driver = remote_file",
            uri=f"https://localhost:{port}/eventalarm.conf",
            ca_path=str(authority.bundle),
            client_cert=certificate,
            client_key=key,
        )
        text = f"[DEFAULT]\nconfig_source = secrets\n[secrets]\n{text}"
        assert read(home, text).database.connection == SECRET
        assert set(seen) == {"eventalarm"}


def stand_in_for_vault(sink: WebhookSink) -> None:
    """Answer as Vault does to a login by AppRole, and for a secret of its key-value store, version 2."""
    granted = {"auth": {"client_token": "of-the-login", "lease_duration": 3600, "renewable": True}}
    login = "/v1/auth/approle/login"
    sink.behave(login, body=json.dumps(granted).encode(), headers={"Content-Type": "application/json"})
    kept = {"type": "opaque", "value": SECRET.encode().hex(), "name": "database", "created": 1767225600}
    sink.behave(f"/v1/secret/data/{SECRET_ID}", body=json.dumps({"data": {"data": kept}}).encode())


def test_secrets_are_read_by_castellan_from_vault(home: pathlib.Path) -> None:
    """The examples of the documentation, with the real drivers of castellan; a stand-in answers for Vault."""
    castellan, mapping = home / "castellan.conf", home / "secrets.conf"
    mapping.write_text(example("# /etc/eventalarm/secrets.conf"))
    assert SECRET_ID in mapping.read_text()
    with contextlib.closing(WebhookSink()) as vault:
        stand_in_for_vault(vault)
        castellan.write_text(example("# /etc/eventalarm/castellan.conf", vault_url=vault.url("")))
        text = example("driver = castellan", config_file=str(castellan), mapping_file=str(mapping))
        conf = read(home, f"[DEFAULT]\nconfig_source = secrets\n[secrets]\n{text}")
        assert conf.database.connection == SECRET
        (login,) = vault.at("/v1/auth/approle/login")
        assert set(login.json) == {"role_id", "secret_id"}
        asked = vault.at(f"/v1/secret/data/{SECRET_ID}")
        assert {one.headers["X-Vault-Token"] for one in asked} == {"of-the-login"}
