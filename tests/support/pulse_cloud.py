"""A cloud for health checks: real Keystone, Glance, Placement, Aodh and eventalarm, and a stand-in."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from eventalarm.trial.own_cloud.programs.cloud import AODH_API
from tests.support.cloud import Cloud, Spawn
from tests.support.helpers import Process, console_script, write_config
from tests.support.keystone import Keystone
from tests.support.nova import SERVICES, OpenStack
from tests.support.wsgi_services import Glance, Placement, WsgiService

# Seconds between two looks.
INTERVAL = 1.0
RULE = {
    "event_type": "pulse.check.failed",
    "clear": {"event_type": "pulse.check.recovered"},
    "group_by": ["resource_id"],
}


@dataclasses.dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class PulseCloud:
    """Its services run from the start; what it starts ends with *spawn*, and Keystone with its own block.

    :param database: returns the URL of a new, empty database.
    """

    def __init__(
        self, spawn: Spawn, folder: pathlib.Path, keystone: Keystone, database: Callable[[], str], ours: str,
        transport: str,
    ) -> None:  # fmt: skip
        self._spawn, self._folder, self.keystone = spawn, folder, keystone
        self.operators = keystone.project("operators")
        self.tenants = keystone.project("tenants")
        self.user = keystone.user("tenant", self.tenants, "member", "reader")
        keystone.user("operator", self.operators, "admin", "reader")
        self.nova = OpenStack()
        for kind, path in SERVICES.items():
            keystone.register(kind, kind, self.nova.url + path)
        self.glance = Glance(_made(folder / "glance"), keystone, database())
        self.placement = Placement(_made(folder / "placement"), keystone, database())
        self.cloud = self._eventalarm(ours, transport)
        self.ifa_url = ""

    def _eventalarm(self, ours: str, transport: str) -> Cloud:
        credentials = self.keystone.credentials()
        middleware = {**credentials, "www_authenticate_uri": self.keystone.url}
        return Cloud(
            self._spawn, self._folder, ours, transport,
            DEFAULT={"transport_url": transport},
            eventalarm={"workers": 1, "infrastructure_projects": self.operators},
            service_credentials=credentials,
            keystone_authtoken=middleware,
            eventalarm_ifa={"port": 0},
            # Slow answers of a busy machine are no failures here.
            eventalarm_pulse={"interval": INTERVAL, "checks": "endpoint", "slow": 30.0, "timeout": 30.0},
        )  # fmt: skip

    def start(self) -> None:
        """Start everything at the same time, with the tables of an older release of Glance and Placement."""
        services = [self.glance, self.placement]
        ifa = self._spawn([console_script("eventalarm-ifa-api"), "--config-file", self.cloud.conf_path])
        listener = self.cloud.start_listener(wait=False)
        # Its middleware looks for aodh.conf by itself: in the home directory.
        home = {"HOME": str(self._folder)}
        aodh = self._spawn([*self._python(AODH_API), "--config-file", self._conf_of_aodh()], env=home)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(_start, services))
        self.ifa_url = ifa.wait_for_log(r"Serving on (http://\S+)")[1]
        self.keystone.register("eventalarm", "nfv-alarm", self.ifa_url)
        self.keystone.register("aodh", "alarming", aodh.wait_for_log(r"serving (http://\S+)")[1])
        listener.wait_for_log("Listening on topic")

    def _conf_of_aodh(self) -> pathlib.Path:
        """Return a file that makes Aodh ask Keystone, other than the API of other tests."""
        return write_config(self._folder / "aodh-api.conf", {"api": {"auth_mode": "keystone"}})

    def upgrade(self) -> dict[str, tuple[str, str]]:
        """Upgrade Glance and Placement while they are down; return their revisions before and after."""
        services = [self.glance, self.placement]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            return dict(zip((one.name for one in services), pool.map(_upgrade, services), strict=True))

    def pulse(self) -> Process:
        """Start the service, and return."""
        return self._spawn(self._command())

    def _command(self, *words: str) -> list[str]:
        return [*self._python("eventalarm.cmd.pulse"), *words]

    def _python(self, module: str) -> list[str]:
        # The module, so that a script that is not installed yet does not matter.
        return [sys.executable, "-m", module, "--config-file", str(self.cloud.conf_path)]

    def run(self, *words: str, env: Mapping[str, str] | None = None) -> Done:
        """Run a subcommand of eventalarm-pulse, by default with the credentials of the service."""
        done = subprocess.run(
            self._command(*words), capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def tenant(self) -> dict[str, str]:
        """Return the environment of a tenant who has an application credential in clouds.yaml."""
        name, secret = self.keystone.application_credential("tenant", self.tenants)
        auth = {
            "auth_url": self.keystone.url,
            "application_credential_id": name,
            "application_credential_secret": secret,
        }
        path = self._folder / "clouds.yaml"
        cloud = {"auth_type": "v3applicationcredential", "auth": auth}
        path.write_text(yaml.safe_dump({"clouds": {"mine": cloud}}))
        return {"OS_CLIENT_CONFIG_FILE": str(path), "OS_CLOUD": "mine"}

    def alarm(self, project: str, url: str) -> str:
        """Create the alarm of the documentation for a project."""
        return self.cloud.create_alarm(
            [url],
            project=project,
            name="cloud is ill",
            type="notification",
            event_rule=RULE,
            ok_actions=[url],
            repeat_actions=True,
        )

    def ifa_alarms(self, alarm_id: str) -> list[dict[str, Any]]:
        """Return the active occurrences of an alarm, as an NFVO of all projects gets them."""
        token = self.keystone.client.session.get_token()
        request = urllib.request.Request(f"{self.ifa_url}/ifa/v1/alarms?all_projects=true")
        request.add_header("X-Auth-Token", token)
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return [one for one in found if f"aodh.alarm_id={alarm_id}" in one["faultDetails"]]

    def known(self) -> list[str]:
        """Return the targets of which the service knows something."""
        return [
            row["target"]
            for row in self.cloud.rows(
                "SELECT target FROM eventalarm_pulse_target WHERE check_name = 'endpoint'"
            )
        ]

    def close(self) -> None:
        """End what does not end with *spawn*."""
        self.glance.kill()
        self.placement.kill()
        self.nova.close()
        self.cloud.close()


def _made(folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir()
    return folder


def _start(service: WsgiService) -> None:
    service.create_older_tables()
    service.start()


def _upgrade(service: WsgiService) -> tuple[str, str]:
    service.kill()
    before = service.upgrade_tables()
    service.start()
    return before, service.revision()
