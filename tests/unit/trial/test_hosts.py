"""The command lines that run something on hosts."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from eventalarm.trial.existing_cloud.hosts import parse_host, parse_hosts
from eventalarm.trial.fields import InvalidScenario

SCRIPT = "echo \"$((1 + 1))\" 'a b'; exit 3"


def test_a_script_arrives_by_ssh_as_it_is() -> None:
    """Red if it is not quoted for the shell that ssh starts; that shell stands in for ssh."""
    host = parse_host("c1", {"user": "me", "port": 2222, "options": ["-i", "key"]}, "hosts.c1")
    *ssh, remote = host.command(SCRIPT)
    assert ssh[0] == "ssh"
    assert ssh[-4:] == ["-l", "me", "--", "c1"]
    assert {"BatchMode=yes", "2222", "key"} <= set(ssh)
    done = subprocess.run(["sh", "-c", remote], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "2 a b\n")


def test_sudo_asks_no_question() -> None:
    host = parse_host("c1", {"sudo": True}, "hosts.c1")
    assert shlex.split(host.command(SCRIPT)[-1]) == ["sudo", "-n", "sh", "-c", SCRIPT]
    assert parse_host("here", {"transport": "local"}, "x").command("true") == ["sh", "-c", "true"]


@pytest.mark.parametrize(
    ("host", "field"),
    [
        ({"transport": "telnet"}, "hosts.c1.transport"),
        ({"port": 0}, "hosts.c1.port"),
        ({"address": "-oProxyCommand=x"}, "hosts.c1.address"),
        ({"transport": "local", "user": "x"}, "hosts.c1.user"),
        ({"password": "x"}, "hosts.c1.password"),
    ],
)
def test_an_error_names_the_field(host: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidScenario) as caught:
        parse_hosts({"c1": host}, "hosts")
    assert caught.value.field == field


def test_a_stage_without_hosts_is_refused() -> None:
    with pytest.raises(InvalidScenario, match="names no host"):
        parse_hosts({}, "stage.hosts")
