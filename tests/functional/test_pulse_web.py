"""Health checks by HTTP and TCP, and programs: with a real Keystone; other services are stand-ins."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import openstack
import pytest
import yaml

from eventalarm.exceptions import EventAlarmError
from eventalarm.pulse.finding import Health
from eventalarm.pulse.plugins.cloud_services import CinderServices, NeutronAgents, NovaServices
from eventalarm.pulse.plugins.command import Commands
from eventalarm.pulse.plugins.endpoint import Endpoint
from eventalarm.pulse.plugins.horizon import Horizon
from eventalarm.pulse.plugins.http_url import Http
from eventalarm.pulse.plugins.port import Port
from eventalarm.trial.own_cloud.services.keeper import LOCALHOST, free_ports
from tests.support.helpers import WebhookSink, wait_until
from tests.support.keystone import Keystone
from tests.support.pulse_checks import look


@pytest.fixture(scope="module")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    one = Keystone(tmp_path_factory.mktemp("keystone"))
    with one.running():
        yield one


def cloud(keystone: Keystone, **changes: str) -> Any:
    auth = {name: value for name, value in keystone.credentials().items() if name != "auth_type"}
    return openstack.connect(load_yaml_config=False, load_envvars=False, auth=auth | changes)


def test_every_service_of_the_catalogue_answers_or_has_its_own_remedy(
    keystone: Keystone, webhook_sink: WebhookSink
) -> None:
    (closed,) = free_ports(1)
    answers = {"nova": ("compute", 200), "glance": ("image", 503), "heat": ("orchestration", 401)}
    paths = {"nova": "/nova/v2.1/servers?limit=1", "glance": "/glance/v2/images?limit=1"}
    paths["heat"] = "/heat/v1/stacks?limit=1"
    for name, (kind, status) in answers.items():
        webhook_sink.behave(paths[name], statuses=[status], body=b"{}")
        keystone.register(name, kind, webhook_sink.url(f"/{name}{'/v2.1' if name == 'nova' else ''}"))
    keystone.register("neutron", "network", f"http://{LOCALHOST}:{closed}")
    release = webhook_sink.hang("/slow/v3/volumes?limit=1")
    keystone.register("cinder", "block-storage", webhook_sink.url("/slow/v3"))
    keystone.register("again", "volumev3", webhook_sink.url("/slow/v3"))
    keystone.register("plain", "new", webhook_sink.url("/new/v1"))
    project = keystone.project("tenant")
    keystone.user("tenant", project, "member")
    try:
        admin = cloud(keystone)
        found = look(Endpoint, connect=lambda: admin, timeout=2.0)
        tenant = cloud(keystone, username="tenant", project_name="tenant")
        of_tenant = look(Endpoint, connect=lambda: tenant, timeout=2.0, project_id=project)
    finally:
        release()
    healths = {target: one.health for target, one in found.items()}
    assert healths == {
        "keystone (RegionOne)": Health.OK,
        "nova (RegionOne)": Health.OK,
        "glance (RegionOne)": Health.CRITICAL,
        "heat (RegionOne)": Health.CRITICAL,
        "neutron (RegionOne)": Health.CRITICAL,
        "cinder (RegionOne)": Health.CRITICAL,
        "plain (RegionOne)": Health.OK,
    }
    assert "refuses connections" in found["neutron (RegionOne)"].summary
    assert "no answer" in found["cinder (RegionOne)"].summary
    remedies = [one.remedy for one in found.values() if one.remedy]
    assert len(set(remedies)) == 4
    assert {target: one.health for target, one in of_tenant.items()} == healths
    assert {one.project_id for one in of_tenant.values()} == {project}
    tokens = [one.headers.get("X-Auth-Token") for one in webhook_sink.at(paths["nova"])]
    assert len(tokens) == 2, "one request each time"
    assert None not in tokens
    assert admin.auth_token != tokens[0], "the token that was refused is not used again"
    assert len(webhook_sink.at("/slow/v3/volumes?limit=1")) == 2
    assert [one.headers.get("X-Auth-Token") for one in webhook_sink.at("/new/")] == [None, None]


def test_without_keystone_there_is_one_error_with_a_remedy(keystone: Keystone) -> None:
    with pytest.raises(EventAlarmError, match=r"no token.*check") as caught:
        look(Endpoint, connect=lambda: cloud(keystone, password="wrong"))
    assert "wrong" not in str(caught.value)


@pytest.fixture
def services(webhook_sink: WebhookSink, tmp_path: pathlib.Path) -> Any:
    """A connection to stand-ins of Nova, Cinder and Neutron, without Keystone."""

    def behave(path: str, body: Any) -> None:
        webhook_sink.behave(
            path, body=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )

    def version(name: str, path: str, newest: str, oldest: str) -> dict[str, Any]:
        links = [{"rel": "self", "href": webhook_sink.url(path)}]
        return {"id": name, "status": "CURRENT", "version": newest, "min_version": oldest, "links": links}

    for path in ("/nova/v2.1", "/nova/v2.1/"):
        behave(path, {"version": version("v2.1", "/nova/v2.1/", "2.96", "2.1")})
    for path in ("/cinder/v3", "/cinder/v3/"):
        behave(path, {"versions": [version("v3.0", "/cinder/v3/", "3.70", "3.0")]})
    for path in ("/neutron", "/neutron/v2.0", "/neutron/", "/neutron/v2.0/"):
        behave(path, {"versions": [version("v2.0", "/neutron/v2.0/", "", "")]})
    up = {"binary": "nova-compute", "state": "up", "status": "enabled", "forced_down": False}
    forced = {**up, "host": "c2", "forced_down": True}
    behave("/nova/v2.1/os-services", {"services": [{**up, "id": 1, "host": "c1"}, {**forced, "id": 2}]})
    volume = {"binary": "cinder-volume", "state": "down", "status": "enabled", "host": "v1@lvm"}
    behave("/cinder/v3/os-services", {"services": [volume]})
    agent = {"id": "a", "binary": "neutron-l3-agent", "host": "n1", "alive": False, "admin_state_up": True}
    behave("/neutron/v2.0/agents", {"agents": [agent]})
    entry = {
        "auth_type": "none",
        "compute_endpoint_override": webhook_sink.url("/nova/v2.1"),
        "block_storage_endpoint_override": webhook_sink.url("/cinder/v3"),
        "network_endpoint_override": webhook_sink.url("/neutron"),
    }
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(yaml.safe_dump({"clouds": {"stand-in": entry}}))
    loader = openstack.config.OpenStackConfig(config_files=[str(clouds)], load_envvars=False)
    return openstack.connection.Connection(config=loader.get_one("stand-in"))


def test_services_and_agents_that_are_down(services: Any, webhook_sink: WebhookSink) -> None:
    nova = look(NovaServices, connect=lambda: services)
    assert {one.host: one.health for one in nova.values()} == {
        "": Health.OK,
        "c1": Health.OK,
        "c2": Health.CRITICAL,
    }
    (asked,) = webhook_sink.at("/nova/v2.1/os-services")
    assert asked.headers["OpenStack-API-Version"] == "compute 2.11"
    cinder = look(CinderServices, connect=lambda: services)
    assert cinder["cinder-volume on v1@lvm"].host == "v1"
    assert cinder["cinder-volume on v1@lvm"].failed
    neutron = look(NeutronAgents, connect=lambda: services)
    assert neutron["neutron-l3-agent on n1"].failed
    webhook_sink.behave("/neutron/v2.0/agents", statuses=[403])
    (refused,) = look(NeutronAgents, connect=lambda: services).values()
    assert (refused.health, "the role" in refused.remedy) == (Health.WARNING, True)
    webhook_sink.behave("/neutron/v2.0/agents", body=b"<html>")
    (other,) = look(NeutronAgents, connect=lambda: services).values()
    assert other.health is Health.CRITICAL


def test_ports_and_urls(webhook_sink: WebhookSink) -> None:
    (closed,) = free_ports(1)
    listening = f"{LOCALHOST}:{webhook_sink.port}"
    found = look(Port, ports=[listening, f"{LOCALHOST}:{closed}", "no-such-host.invalid:80"])
    assert [one.health for one in found.values()] == [Health.OK, Health.CRITICAL, Health.CRITICAL]
    assert "cannot be resolved" in found["no-such-host.invalid:80"].summary
    webhook_sink.behave("/away", statuses=[302], headers={"Location": "http://user:secret@other/?token=x"})
    url = webhook_sink.url("/away").replace("//", "//user:secret@")
    urls = look(Http, http_urls=[url, f"{webhook_sink.url('/')} 418"])
    assert [one.health for one in urls.values()] == [Health.OK, Health.CRITICAL]
    assert "secret" not in str(urls)
    assert webhook_sink.at("/away")[0].headers["Authorization"].startswith("Basic ")


def test_a_server_that_speaks_no_tls_and_one_that_is_not_trusted(webhook_sink: WebhookSink) -> None:
    (found,) = look(Http, http_urls=[f"https://{LOCALHOST}:{webhook_sink.port}/"]).values()
    assert found.health is Health.CRITICAL
    assert found.summary.startswith("TLS with")


FORM = b"""<form method="POST" action="/dashboard/auth/login/">
<input type="hidden" name="csrfmiddlewaretoken" value="t0">
<input type="hidden" name="region" value="default">
<input name="username"></form>"""


def test_horizon(webhook_sink: WebhookSink) -> None:
    """A stand-in that answers as Horizon's login does."""
    options: dict[str, Any] = {"horizon_url": webhook_sink.url("/dashboard")}
    login = "/dashboard/auth/login/"
    webhook_sink.behave(login, body=FORM)
    (page,) = look(Horizon, **options).values()
    assert page.health is Health.OK
    (refused,) = look(Horizon, **options, horizon_username="ops", horizon_password="secret").values()
    assert refused.health is Health.CRITICAL
    assert "refuses the login" in refused.summary
    assert "secret" not in str(refused)
    body = webhook_sink.at(login)[-1].body.decode()
    assert "csrfmiddlewaretoken=t0" in body
    assert "username=ops" in body
    session = {"Location": "/dashboard/", "Set-Cookie": "sessionid=s1; Path=/"}
    webhook_sink.behave(login, statuses=[200, 302], body=FORM, headers=session)
    (works,) = look(Horizon, **options, horizon_username="ops", horizon_password="secret").values()
    assert (works.health, "works" in works.summary) == (Health.OK, True)
    webhook_sink.behave(login, body=b"<p>It works!</p>")
    (other,) = look(Horizon, **options).values()
    assert "no login form" in other.summary


def test_a_command_is_killed_with_all_its_children(tmp_path: pathlib.Path) -> None:
    pids = tmp_path / "pids"
    line = f"sleep 600 & echo $$! >> {pids}; echo $$$$ >> {pids}; echo waiting; wait"
    found = look(Commands, commands=[f'hangs timeout=0.5 project=p1: sh -c "{line}"'])["hangs"]
    assert (found.health, found.project_id) == (Health.CRITICAL, "p1")
    assert "not finished after 0.5 s, killed; it printed: waiting" in found.summary
    numbers = [int(word) for word in pids.read_text().split()]
    assert len(numbers) == 2
    wait_until(lambda: not any(_runs(number) for number in numbers), 5, "the processes to end")


def test_a_command_ends_though_a_child_keeps_its_output(tmp_path: pathlib.Path) -> None:
    found = look(Commands, commands=['leaves: sh -c "sleep 600 & echo done; exit 1"'], timeout=20.0)["leaves"]
    assert (found.health, found.summary) == (Health.WARNING, "done")
    assert found.figures["seconds"] < 10


def test_what_commands_print_is_bounded_and_no_shell_reads_them() -> None:
    program = f"{sys.executable} -c 'print(\"x\" * 20_000_000)'"
    found = look(
        Commands, commands=[f"loud: {program}", "plain: echo $$HOME; | a=1", "gone: no-such-program"]
    )
    assert (found["loud"].health, len(found["loud"].summary)) == (Health.OK, 200)
    assert found["plain"].summary == "$HOME;"
    assert (found["gone"].health, "cannot be started" in found["gone"].summary) == (Health.UNKNOWN, True)


def _runs(pid: int) -> bool:
    """Return True if a process runs; one that has ended and was not waited for does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
