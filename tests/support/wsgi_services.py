"""A real Glance and a real Placement of the tests' environment, under uWSGI, with a real Keystone."""

from __future__ import annotations

import contextlib
import http.client
import pathlib
import socket
import subprocess
import sys
from typing import Any, ClassVar

from tests.support.helpers import Process, console_script, wait_until, write_config
from tests.support.keystone import PASSWORD, Keystone

# Placement's command cannot upgrade to any revision but the newest, though its library can.
PLACEMENT_UPGRADE = """
import sys
from oslo_config import cfg
from placement import conf, db_api
from placement.db.sqlalchemy import migration
config = cfg.ConfigOpts()
conf.register_opts(config)
config(sys.argv[1:2], project="placement")
db_api.configure(config)
migration.upgrade(sys.argv[2])
"""


class WsgiService:
    """A service that Keystone lists in its catalogue; create its tables before it is started.

    :param folder: an existing directory for its configuration, files and log.
    """

    name: ClassVar[str]
    service_type: ClassVar[str]
    variable: ClassVar[str]

    def __init__(self, folder: pathlib.Path, keystone: Keystone, database_url: str) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: Process | None = None
        keystone.user(self.name, keystone.project("service"), "admin")
        keystone.register(self.name, self.service_type, self.url)
        self._middleware = {
            **keystone.credentials(),
            "www_authenticate_uri": keystone.url,
            "username": self.name,
            "project_name": "service",
            "password": PASSWORD,
        }
        self.conf = write_config(folder / f"{self.name}.conf", self._options(database_url))

    def _options(self, database_url: str) -> dict[str, dict[str, Any]]:
        raise NotImplementedError

    def create_older_tables(self) -> None:
        """Create the tables of an older release, with which the installed release works."""
        raise NotImplementedError

    def upgrade_tables(self) -> str:
        """Upgrade the tables to the installed release; return their revision before."""
        before = self._manage("version")
        self._manage("sync")
        return before

    def revision(self) -> str:
        """Return the revision of the tables, as its command prints it."""
        return self._manage("version")

    def _manage(self, *words: str) -> str:
        return self._run(console_script(f"{self.name}-manage"), "--config-file", str(self.conf), "db", *words)

    @staticmethod
    def _run(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def start(self) -> None:
        """Start it unless it runs, and return when it answers."""
        if self._process is None:
            options = {
                "--http-socket": f"127.0.0.1:{self.port}",
                "--module": f"{self.name}.wsgi.api",
                "--virtualenv": sys.prefix,
                "--threads": "4",
            }
            flags = ["--die-on-term", "--need-app", "--disable-logging"]
            words = [word for option in options.items() for word in option]
            log, env = self._folder / f"{self.name}.log", {self.variable: str(self._folder)}
            self._process = Process([console_script("uwsgi"), *words, *flags], log, env)
        wait_until(self._answers, 60, f"{self.name} to answer")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.popen.poll() is None, self._process.text()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/")
            return connection.getresponse().status < 500
        return False

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process = None


class Glance(WsgiService):
    """The image service, with its images in files."""

    name = "glance"
    service_type = "image"
    variable = "OS_GLANCE_CONFIG_DIR"

    def _options(self, database_url: str) -> dict[str, dict[str, Any]]:
        # The web server reads the file of this name only.
        paste = pathlib.Path(sys.prefix) / "etc" / "glance" / "glance-api-paste.ini"
        options: dict[str, dict[str, Any]] = {
            "DEFAULT": {"enabled_backends": "files:file", "enabled_import_methods": "[]"},
            "glance_store": {"default_backend": "files"},
            "files": {"filesystem_store_datadir": self._folder / "images"},
            "os_glance_staging_store": {"filesystem_store_datadir": self._folder / "staging"},
            "os_glance_tasks_store": {"filesystem_store_datadir": self._folder / "tasks"},
            "database": {"connection": database_url},
            "keystone_authtoken": self._middleware,
            "paste_deploy": {"flavor": "keystone", "config_file": paste},
        }
        for directory in ("images", "staging", "tasks"):
            (self._folder / directory).mkdir()
        write_config(self._folder / "glance-api.conf", options)
        return options

    def create_older_tables(self) -> None:
        """Create the tables of the release 2023.1."""
        self._manage("upgrade", "--version", "2023_1_contract01")


class Placement(WsgiService):
    """The placement service."""

    name = "placement"
    service_type = "placement"
    variable = "OS_PLACEMENT_CONFIG_DIR"

    def _options(self, database_url: str) -> dict[str, dict[str, Any]]:
        return {
            "placement_database": {"connection": database_url},
            "keystone_authtoken": self._middleware,
            "api": {"auth_strategy": "keystone"},
        }

    def create_older_tables(self) -> None:
        """Create the tables without what the newest revision changes."""
        self._run(sys.executable, "-c", PLACEMENT_UPGRADE, f"--config-file={self.conf}", "422ece571366")
