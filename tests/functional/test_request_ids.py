"""The id of a request is in its response, in its problem document and in every line that it logs."""

from __future__ import annotations

import concurrent.futures
import json
import pathlib
import urllib.error
import urllib.request
from typing import Any

import pytest
import sqlalchemy as sa

from tests.functional.conftest import Spawn
from tests.support.helpers import aodh_config, console_script

APIS = {"eventalarm-ifa-api": "/ifa/v1/alarms", "eventalarm-ingest-api": "/v1/deliveries"}
AT_ONCE = 8
TOKEN = "a-secret-token"
GLOBAL = "req-01234567-89ab-cdef-0123-456789abcdef"


def ask(url: str, user: str) -> tuple[int, str, Any]:
    """Return status, the id in the header, and the body of a response."""
    headers = {
        "X-Project-Id": f"project of {user}",
        "X-User-Id": user,
        "X-Roles": "admin,member,reader",
        "X-Auth-Token": TOKEN,
        "X-Openstack-Request-Id": GLOBAL,
    }
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.headers["x-openstack-request-id"], json.load(answer)
    except urllib.error.HTTPError as exc:
        return exc.code, exc.headers["x-openstack-request-id"], json.load(exc)


def records(log: pathlib.Path) -> list[dict[str, Any]]:
    """Return the log of an API so far; every line must be an object."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def remove_tables(database_url: str) -> None:
    """Make every request fail that reads them."""
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        for table in ("alarm", "eventalarm_delivery"):
            connection.execute(sa.text(f"ALTER TABLE {table} RENAME TO gone_{table}"))
    engine.dispose()


@pytest.mark.parametrize("name", APIS)
def test_every_line_that_a_request_logs_has_its_id_and_its_caller(
    our_sqlite_url: str, tmp_path: pathlib.Path, spawn: Spawn, name: str
) -> None:
    """Eight requests at once, in one process: fails if a thread keeps the id of an earlier request."""
    options = {"port": 0, "auth_mode": "noauth"}
    sections = {"eventalarm_ifa": options, "eventalarm_ingest": options}
    conf = aodh_config(tmp_path, our_sqlite_url, "fake://", **sections)
    log = tmp_path / "api.json"
    api = spawn(
        [console_script(name), "--config-file", str(conf), "--use-json", "--debug", "--log-file", str(log)]
    )
    root = api.wait_for_log(r"Serving on (http://\S+)")[1]
    remove_tables(our_sqlite_url)
    before = len(records(log))
    users = [f"user {number}" for number in range(3 * AT_ONCE)]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(
            zip(users, pool.map(lambda user: ask(f"{root}{APIS[name]}", user), users), strict=True)
        )
    lines = records(log)[before:]
    assert len(lines) >= len(users)
    callers = {}
    for user, (status, request_id, problem) in answers.items():
        assert (status, problem["request_id"]) == (503, request_id)
        callers[request_id] = (user, f"project of {user}")
    found = [(line["context"]["request_id"], line["context"]["user"]) for line in lines]
    assert sorted(found) == sorted((request_id, user) for request_id, (user, _) in callers.items())
    assert {line["context"]["project_id"] for line in lines} == {project for _, project in callers.values()}
    assert {line["context"]["global_request_id"] for line in lines} == {GLOBAL}
    assert TOKEN not in log.read_text()
    status, request_id, problem = ask(f"{root}/unknown", "nobody")
    assert (status, problem["request_id"]) == (404, request_id)
