"""The layout of the image without an engine: the wheel in an empty prefix that the user may not write to.

Every service is started by the command line of its unit, as another user, who may write to one folder only.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from eventalarm import systemd
from tests.support import containers
from tests.support.cloud import Cloud, Spawn, make_event
from tests.support.distribution import Distribution, install
from tests.support.helpers import Process
from tests.support.notify_socket import NotifySocket
from tests.support.units import FOLDER, SERVICES, command, environment

NOBODY = 65534
# This user may read what only root may, such as the interpreter of the test run, but writes as anyone does.
AS_NOBODY = (
    *("env", "--chdir=/", "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--no-new-privs"),
)
GUNICORN = "#!{prefix}/bin/python\nfrom gunicorn.app.wsgiapp import run\nrun()\n"
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "eventalarm_ifa": {"auth_mode": "noauth"},
    "eventalarm_ingest": {"auth_mode": "noauth"},
    "eventalarm_inspector": {"snapshot_interval": 0},
}

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can run programs as another user"
)


class Layout:
    """The prefix, the credentials that systemd would hand over, and the folder that may be written to."""

    def __init__(self, place: pathlib.Path, wheel: pathlib.Path, conf: pathlib.Path) -> None:
        self.prefix, self.credentials, self.tmp = (place / name for name in ("prefix", "credentials", "tmp"))
        install(wheel, self.prefix)
        gunicorn = self.prefix / "bin/gunicorn"
        gunicorn.write_text(GUNICORN.format(prefix=self.prefix))
        gunicorn.chmod(0o755)
        self.credentials.mkdir()
        shutil.copy(conf, self.credentials / "eventalarm.conf")
        self.tmp.mkdir()
        os.chown(self.tmp, NOBODY, NOBODY)
        self.before = self.files()

    def files(self) -> set[pathlib.Path]:
        """Return every path of the prefix."""
        return set(self.prefix.rglob("*"))

    def environment(self, **variables: str) -> Mapping[str, str]:
        return {"HOME": "/nonexistent", "TMPDIR": str(self.tmp), **variables}

    def start(self, spawn: Spawn, name: str, **variables: str) -> Process:
        """Start the command of a unit."""
        unit = FOLDER / f"{name}.service"
        set_by_unit = environment(unit, self.credentials)
        return spawn(
            [*AS_NOBODY, *command(unit, self.prefix / "bin", self.credentials)],
            env=self.environment(**{**set_by_unit, **variables}),
        )

    def run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command of the image with the configuration file, to its end."""
        program, *others = arguments
        return subprocess.run(
            [
                *(*AS_NOBODY, str(self.prefix / "bin" / program)),
                *(*others, f"--config-file={self.credentials}/eventalarm.conf"),
            ],
            env={**os.environ, **self.environment()},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def cloud(spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str) -> Iterator[Cloud]:
    # The StateDirectory of the guest monitor, which here also stands in for libvirt.
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, NOBODY, NOBODY)
    guest = {
        "uri": f"dir://{state}",
        "spool_directory": state,
        "auth_mode": "noauth",
        "endpoint": "http://[::1]:9",
    }
    one = Cloud(spawn, tmp_path, our_mariadb_url, rabbit_url, **SETTINGS, eventalarm_guest=guest)
    yield one
    one.close()


@pytest.fixture
def layout(tmp_path: pathlib.Path, distribution: Distribution, cloud: Cloud) -> Layout:
    return Layout(tmp_path, distribution.wheel, cloud.conf_path)


@pytest.fixture
def managers(tmp_path: pathlib.Path) -> Iterator[dict[str, NotifySocket]]:
    """A socket for each service, to which anyone may write."""
    opened = {unit.stem: NotifySocket(tmp_path / unit.stem) for unit in SERVICES}
    for one in opened.values():
        one.path.chmod(0o666)
    yield opened
    for one in opened.values():
        one.close()


def test_services_start_by_their_units_and_a_canary_arrives(
    cloud: Cloud, layout: Layout, spawn: Spawn, managers: dict[str, NotifySocket]
) -> None:
    """Red with a tree that a service writes to, and with a unit whose command the package does not have."""
    apis = ("eventalarm-ifa-api", "eventalarm-ingest-api")
    small = {"GUNICORN_CMD_ARGS": "--workers=1 --threads=2 --bind=127.0.0.1:0"}
    started = {
        name: layout.start(
            spawn, name, NOTIFY_SOCKET=str(managers[name].path), **(small if name in apis else {})
        )
        for name in (*apis, "eventalarm-listener", "eventalarm-inspector", "eventalarm-guest-monitor")
    }
    for name in started:
        managers[name].wait(systemd.READY)
    for name in apis:
        url = started[name].wait_for_log(r"Listening at: (http://\S+)")[1]
        with urllib.request.urlopen(f"{url}/healthcheck", timeout=30) as answer:
            assert answer.status == 200
    assert layout.start(spawn, "eventalarm-expirer").wait() == 0
    # Else the last check has not seen an event of Ceilometer.
    cloud.publish(make_event("vm-9"))
    cloud.settle()
    health = dict(containers.instructions(containers.FOLDER / "Containerfile"))["HEALTHCHECK"].partition(
        "CMD "
    )[2]
    for arguments in (["eventalarm-status", "check", "--canary"], json.loads(health)):
        done = layout.run(arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    assert {name: process.terminate() for name, process in started.items()} == dict.fromkeys(started, 0)
    assert layout.files() == layout.before
    assert list(layout.tmp.iterdir()) == []
