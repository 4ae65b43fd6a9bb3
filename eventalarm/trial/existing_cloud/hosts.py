"""The hosts of an existing cloud, and the command line that runs something on each. Pure."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from eventalarm.trial.fields import Fields, InvalidScenario

LOCAL, SSH = "local", "ssh"
CONNECT_TIMEOUT: Final = 10
# OpenSSH's exit code for its own errors, such as an unreachable host.
SSH_FAILED: Final = 255


@dataclass(frozen=True)
class Host:
    """One host: its name in the scenario, and how commands get there.

    *options* are further arguments of OpenSSH; with *sudo* commands run by ``sudo -n``.
    """

    name: str
    transport: str
    address: str = ""
    user: str = ""
    port: int = 22
    options: tuple[str, ...] = ()
    sudo: bool = False

    @property
    def place(self) -> str:
        """How people read where it is."""
        if self.transport == LOCAL:
            return "this machine"
        port = f":{self.port}" if self.port != 22 else ""
        return f"{self.user}@{self.address}{port}" if self.user else f"{self.address}{port}"

    def command(self, script: str) -> list[str]:
        """Return the arguments of the program that runs a shell *script* on the host."""
        words = ["sudo", "-n", "sh", "-c", script] if self.sudo else ["sh", "-c", script]
        if self.transport == LOCAL:
            return words
        ssh = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_TIMEOUT}", "-p", str(self.port)]
        user = ["-l", self.user] if self.user else []
        return [*ssh, *self.options, *user, "--", self.address, shlex.join(words)]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for a file."""
        return dataclasses.asdict(self) | {"options": list(self.options)}


def parse_host(name: str, value: object, where: str) -> Host:
    """Return one host of a scenario.

    :raises InvalidScenario: naming the field that is wrong.
    """
    fields = Fields(value, where)
    transport = fields.text("transport", SSH, choices=(LOCAL, SSH))
    if transport == LOCAL:
        host = Host(name, LOCAL, sudo=fields.flag("sudo"))
    else:
        host = Host(
            name,
            SSH,
            address=fields.text("address", name),
            user=fields.text("user", ""),
            port=fields.whole("port", 22, 1, 65535),
            options=fields.texts("options", ()),
            sudo=fields.flag("sudo"),
        )
        if host.address.startswith("-"):
            raise fields.wrong("address", "must not begin with a hyphen", "name the host by its address")
    fields.done()
    return host


def parse_hosts(value: object, where: str) -> Mapping[str, Host]:
    """Return the hosts of a scenario by name.

    :raises InvalidScenario: naming the field that is wrong.
    """
    found = Fields(value, where).rest()
    if not found:
        raise InvalidScenario(where, "names no host", "write NAME: {transport: ssh, address: ...}")
    return {name: parse_host(name, one, f"{where}.{name}") for name, one in found.items()}
