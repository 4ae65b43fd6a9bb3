"""A real OpenSSH server of the current user on a free port, with keys of its own."""

from __future__ import annotations

import getpass
import os
import pathlib
import shutil
import subprocess
from typing import Any

from eventalarm.trial.own_cloud.services.keeper import free_ports
from tests.support.helpers import Process, wait_until

# sshd insists on this folder where it is started by root.
SEPARATION = pathlib.Path("/run/sshd")


def program() -> str:
    """Return the path of ``sshd``, which is often not in PATH."""
    found = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise RuntimeError("sshd is missing: apt-get install openssh-server")
    return found


class Sshd:
    """Only its own key may log in, and only as the current user."""

    def __init__(self, directory: pathlib.Path) -> None:
        if os.getuid() == 0:
            SEPARATION.mkdir(mode=0o755, exist_ok=True)
        (self.port,) = free_ports(1)
        self._directory = directory
        for name in ("host", "user"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]
            subprocess.run(command, check=True, timeout=30)
        config = directory / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {directory}/host\nPidFile none\n"
            f"AuthorizedKeysFile {directory}/user.pub\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        )
        (directory / "known_hosts").write_text(
            f"[127.0.0.1]:{self.port} {(directory / 'host.pub').read_text()}"
        )
        self._process = Process([program(), "-D", "-e", "-f", config], directory / "sshd.log")
        self._process.wait_for_log("Server listening")

    def host(self) -> dict[str, Any]:
        """Return the host of a scenario."""
        return {
            "transport": "ssh",
            "address": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "options": [
                *("-F", "none", "-i", str(self._directory / "user"), "-o", "IdentitiesOnly=yes"),
                *("-o", f"UserKnownHostsFile={self._directory / 'known_hosts'}"),
                *("-o", "StrictHostKeyChecking=yes"),
            ],
        }

    def text(self) -> str:
        """Return its log."""
        return self._process.text()

    def close(self) -> None:
        """End it and its sessions."""
        self._process.close()
        wait_until(lambda: self._process.popen.poll() is not None)
