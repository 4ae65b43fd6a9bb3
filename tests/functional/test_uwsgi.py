"""Both APIs under uWSGI, by the command lines of the documentation."""

from __future__ import annotations

import http.client
import json
import pathlib
import re
import shlex
from typing import Any

from eventalarm.trial.own_cloud.services.keeper import free_ports
from tests.functional.conftest import Spawn
from tests.support.helpers import Process, aodh_config, console_script, wait_until

PAGE = pathlib.Path(__file__).parents[2] / "doc/source/install/systemd.rst"
PATHS = {"ifa": "/ifa/v1/alarms", "ingest": "/v1/deliveries"}
WHO = {"X-Project-Id": "p", "X-User-Id": "u", "X-Roles": "member,reader"}


def documented(api: str) -> list[str]:
    """Return the words of the command line of an API, without the variable before them."""
    text = PAGE.read_text().replace("\\\n", " ")
    (line,) = re.findall(
        rf"^ +EVENTALARM_CONFIG=\S+ (uwsgi .*--module eventalarm\.cmd\.{api}_wsgi .*)$", text, re.M
    )
    return shlex.split(line)


def ask(port: int, path: str, **headers: str) -> tuple[int, Any, str]:
    """Return status, body and request id of a response; status 0 while nothing listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers["x-openstack-request-id"]
    except OSError:
        return 0, b"", ""
    finally:
        connection.close()


def serve(spawn: Spawn, conf: pathlib.Path, api: str, port: int) -> Process:
    """Run the documented command with one process, which is what one request needs."""
    words = documented(api)
    words[0] = console_script("uwsgi")
    words[words.index("--http-socket") + 1] = f"127.0.0.1:{port}"
    words[words.index("--processes") + 1] = "1"
    return spawn(words, env={"EVENTALARM_CONFIG": str(conf)})


def test_both_apis_are_served_by_the_documented_commands(
    our_sqlite_url: str, tmp_path: pathlib.Path, spawn: Spawn
) -> None:
    noauth = {"auth_mode": "noauth"}
    sections = {"eventalarm_ifa": noauth, "eventalarm_ingest": noauth}
    conf = aodh_config(tmp_path, our_sqlite_url, "fake://", **sections)
    ports = dict(zip(PATHS, free_ports(len(PATHS)), strict=True))
    servers = [serve(spawn, conf, api, port) for api, port in ports.items()]
    for api, port in ports.items():
        wait_until(lambda: ask(port, "/healthcheck")[0] == 200, 60, f"the health check of {api}")  # noqa: B023
        status, body, number = ask(port, PATHS[api], **WHO)
        assert (status, number[:4]) == (200, "req-"), body
        status, problem, number = ask(port, "/unknown", **WHO)
        assert (status, json.loads(problem)["request_id"]) == (404, number)
        assert ask(port, PATHS[api], **{**WHO, "X-Auth-Token": "x" * 20_000})[0] == 200
    assert [server.terminate() for server in servers] == [0, 0]
