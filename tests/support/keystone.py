"""A real Keystone on SQLite, of the same environment as the tests, served by a process of its own."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pathlib
import pwd
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from keystoneclient.v3 import client as keystone_client

from tests.support.helpers import wait_until

PASSWORD = "secret"
DOMAIN = "default"
REGION = "RegionOne"
# Keystone reads sys.argv when it is imported.
SERVE = """
import os, sys
folder, port = sys.argv[1:]
sys.argv = sys.argv[:1]
os.environ.update(OS_KEYSTONE_CONFIG_DIR=folder, OS_KEYSTONE_CONFIG_FILES="keystone.conf")
import waitress
from keystone.wsgi.api import application
waitress.serve(application, host="127.0.0.1", port=int(port), threads=4)
"""

# Its imports take longer than what is done; each verb has a process of its own, as with keystone-manage.
MANAGE = """
import json, os, sys
from keystone.cmd import cli
config, *lines = sys.argv[1:]
for line in lines:
    child = os.fork()
    if not child:
        cli.main(["keystone-manage", "--config-file", config, *json.loads(line)])
        sys.stdout.flush()
        os._exit(0)
    if status := os.waitpid(child, 0)[1]:
        sys.exit(f"{line}: {status}")
"""


class Keystone:
    """Keystone with the user ``admin``; projects, users and roles are made through its API.

    :param folder: an empty directory for its configuration, keys and database.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self._port = taken.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/v3"
        self._projects: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "keystone.conf").write_text(
            f"[DEFAULT]\nlog_file = {folder}/keystone.log\n"
            f"[database]\nconnection = sqlite:///{folder}/keystone.sqlite\n"
            "[identity]\npassword_hash_rounds = 4\n"
            f"[fernet_tokens]\nkey_repository = {folder}/fernet-keys\n"
            f"[credential]\nkey_repository = {folder}/credential-keys\n"
        )
        for directory in ("fernet-keys", "credential-keys"):
            (folder / directory).mkdir(mode=0o700)
        owner = ["--keystone-user", pwd.getpwuid(os.getuid()).pw_name]
        owner += ["--keystone-group", grp.getgrgid(os.getgid()).gr_name]
        self._manage(
            ["db_sync"],
            ["fernet_setup", *owner],
            ["credential_setup", *owner],
            [
                "bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", REGION,
                "--bootstrap-public-url", self.url, "--bootstrap-internal-url", self.url,
            ],
        )  # fmt: skip

    def _manage(self, *verbs: list[str]) -> None:
        config = str(self._folder / "keystone.conf")
        command = [sys.executable, "-c", MANAGE, config, *map(json.dumps, verbs)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Serve during the block."""
        self._start()
        try:
            yield
        finally:
            self._stop()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Be stopped during the block."""
        self._stop()
        try:
            yield
        finally:
            self._start()

    def _start(self) -> None:
        command = [sys.executable, "-c", SERVE, str(self._folder), str(self._port)]
        with (self._folder / "out").open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out)
        auth = v3.Password(self.url, username="admin", password=PASSWORD, project_name="admin",
                           user_domain_id=DOMAIN, project_domain_id=DOMAIN)  # fmt: skip
        self.client: Any = keystone_client.Client(session=Session(auth))
        wait_until(self._answers, 60, "Keystone to answer")

    def _answers(self) -> bool:
        with contextlib.suppress(Exception):
            return bool(self.client.roles.list())
        return False

    def _stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def credentials(self) -> dict[str, str]:
        """Return options of ``[service_credentials]`` for the administrator."""
        return {
            "auth_type": "password",
            "auth_url": self.url,
            "username": "admin",
            "password": PASSWORD,
            "project_name": "admin",
            "user_domain_id": DOMAIN,
            "project_domain_id": DOMAIN,
        }

    def _role(self, name: str) -> Any:
        return self.client.roles.list(name=name)[0]

    def project(self, name: str) -> str:
        """Return the id of a project, which is created at its first use."""
        if name not in self._projects:
            self._projects[name] = self.client.projects.create(name, DOMAIN).id
        return self._projects[name]

    def register(self, name: str, service_type: str, url: str) -> None:
        """List a service in the catalogue."""
        service = self.client.services.create(name, type=service_type)
        self.client.endpoints.create(service, url, interface="public", region=REGION)

    def application_credential(self, user_name: str, project_id: str) -> tuple[str, str]:
        """Return the id and the secret of an application credential with all roles of a user on a project."""
        auth = v3.Password(
            self.url, username=user_name, password=PASSWORD, user_domain_id=DOMAIN, project_id=project_id
        )
        made = keystone_client.Client(session=Session(auth)).application_credentials.create("pulse")
        return made.id, made.secret

    def close(self, project_id: str) -> None:
        """Disable a project."""
        self.client.projects.update(project_id, enabled=False)

    def user(self, name: str, project_id: str, *roles: str) -> str:
        """Create a user with roles on a project; return the id."""
        made: str = self.client.users.create(name, domain=DOMAIN, password=PASSWORD).id
        for role in roles:
            self.client.roles.grant(self._role(role), user=made, project=project_id)
        return made

    def join(self, user_id: str, project_id: str, role: str) -> None:
        """Give a user a role by a group of theirs."""
        group = self.client.groups.create(f"group of {user_id}", domain=DOMAIN)
        self.client.users.add_to_group(user_id, group)
        self.client.roles.grant(self._role(role), group=group, project=project_id)

    def revoke(self, user_id: str, project_id: str, role: str) -> None:
        """Revoke a role."""
        self.client.roles.revoke(self._role(role), user=user_id, project=project_id)

    def disable(self, user_id: str) -> None:
        """Disable a user."""
        self.client.users.update(user_id, enabled=False)

    def delete(self, user_id: str) -> None:
        """Delete a user."""
        self.client.users.delete(user_id)
