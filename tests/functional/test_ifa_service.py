"""The IFA API as a process with Keystone, and under requests of a fuzzer."""

from __future__ import annotations

import datetime
import itertools
import json
import pathlib
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

import hypothesis
import pytest
import schemathesis
import sqlalchemy as sa
from hypothesis import HealthCheck, settings

from eventalarm.model import UTC
from eventalarm.storage import database as storage
from eventalarm.storage import ifa_tables
from tests.functional.conftest import Spawn
from tests.support.builders import event_body, rule
from tests.support.helpers import Process, WebhookSink, aodh_config, console_script
from tests.support.ifa_api import DOCUMENT, IfaApi

TOKEN = "a-token"
PROJECT = "project-a"


@pytest.fixture
def lite(our_sqlite_url: str) -> Iterator[IfaApi]:
    """The API in this process, with one alarm raised."""
    opened = storage.connect(our_sqlite_url)
    api = IfaApi(opened, test_callback=False, max_subscriptions=10000)
    api.alarm(rule(instance_id="vm-1"), severity="critical")
    generated = datetime.datetime.now(UTC).replace(tzinfo=None).isoformat()
    api.engine.process(event_body(instance_id="vm-1", generated=generated))
    yield api
    opened.dispose()


def keystone(sink: WebhookSink, catalog: Sequence[Any] = ()) -> None:
    """Make *sink* answer as Keystone does to requests for a token and about TOKEN."""
    expires = (datetime.datetime.now(UTC) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    token = {
        "token": {
            "methods": ["password"],
            "expires_at": expires,
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "nfvo", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": PROJECT, "name": "p", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r", "name": "reader"}],
            "catalog": list(catalog),
        }
    }
    headers = {"X-Subject-Token": TOKEN, "Content-Type": "application/json"}
    sink.behave("/v3/auth/tokens", statuses=[200], body=json.dumps(token).encode(), headers=headers)


def ask(url: str, **headers: str) -> tuple[int, Any, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as exc:
        return exc.code, json.load(exc), exc.headers


def start(url: str, tmp_path: pathlib.Path, spawn: Spawn, sink: WebhookSink) -> tuple[Process, str]:
    """Run the service on a database, with *sink* as its Keystone; return it and its URL."""
    # auth_type admin_token: the service uses a fixed token instead of requesting one from Keystone.
    authtoken = {
        "auth_type": "admin_token",
        "endpoint": sink.url("/v3"),
        "token": "service-token",
        "www_authenticate_uri": sink.url("/"),
    }
    conf = aodh_config(tmp_path, url, "fake://", eventalarm_ifa={"port": 0}, keystone_authtoken=authtoken)
    process = spawn([console_script("eventalarm-ifa-api"), "--config-file", str(conf)])
    return process, process.wait_for_log(r"Serving on (http://\S+)")[1]


def test_the_service_asks_keystone(
    our_sqlite_url: str, tmp_path: pathlib.Path, spawn: Spawn, webhook_sink: WebhookSink
) -> None:
    opened = storage.connect(our_sqlite_url)
    opened.dispose()
    keystone(webhook_sink)
    process, root = start(our_sqlite_url, tmp_path, spawn, webhook_sink)

    status, problem, headers = ask(f"{root}/ifa/v1/alarms")
    assert (status, problem["status"]) == (401, 401)
    assert headers["WWW-Authenticate"] == f'Keystone uri="{webhook_sink.url("/")}"'
    assert headers["Content-Type"] == "application/problem+json"
    assert problem["request_id"] == headers["x-openstack-request-id"]
    assert urllib.request.urlopen(f"{root}/healthcheck", timeout=30).read() == b"the database answers"
    spoofed = {"X-Identity-Status": "Confirmed", "X-Project-Id": "project-b", "X-Roles": "admin"}
    assert ask(f"{root}/ifa/v1/alarms", **spoofed)[0] == 401
    assert ask(f"{root}/ifa/v1/alarms", **{"X-Auth-Token": TOKEN})[:2] == (200, [])
    assert ask(f"{root}/ifa/v1/alarms?all_projects=true", **{"X-Auth-Token": TOKEN})[0] == 403
    assert ask(f"{root}/openapi.json")[1]["openapi"] == "3.1.0"
    assert process.terminate() == 0


def test_a_missing_option_is_named(aodh_sqlite_url: str, tmp_path: pathlib.Path, spawn: Spawn) -> None:
    conf = aodh_config(tmp_path, aodh_sqlite_url, "fake://")
    process = spawn([console_script("eventalarm-ifa-api"), "--config-file", str(conf)])
    assert process.wait() == 2
    assert "run eventalarm-dbsync" in process.text()


HEADERS = {"X-Project-Id": PROJECT, "X-User-Id": "u", "X-Roles": "admin,member,reader"}
QUICK = settings(
    max_examples=12,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[hypothesis.Phase.generate],
)
CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_headers_conformance,
    schemathesis.checks.response_schema_conformance,
]


def fuzzed(lite: IfaApi) -> Any:
    found = schemathesis.openapi.from_dict(dict(DOCUMENT))
    found.app = lite.client.app
    return found


def test_every_response_is_as_documented(lite: IfaApi) -> None:
    document = fuzzed(lite)
    seen: set[str] = set()
    for one in document.get_all_operations():
        operation = one.ok()
        seen.add(operation.definition.raw["operationId"])

        @QUICK
        @hypothesis.given(case=operation.as_strategy())
        def send(case: Any) -> None:
            case.call_and_validate(headers=HEADERS, checks=CHECKS)

        send()
    assert len(seen) == 19


def test_sequences_of_calls_along_links_are_as_documented(lite: IfaApi) -> None:
    machine = fuzzed(lite).as_state_machine()
    answered: set[tuple[str, int]] = set()

    class Walk(machine):  # type: ignore[misc, valid-type]
        """A consumer that follows the links of the document."""

        numbers = itertools.count()

        def setup(self) -> None:
            """Begin each sequence with the same state, or the same calls would be answered differently."""
            super().setup()
            with lite.database.begin() as connection:
                for table in (ifa_tables.subscription, ifa_tables.acknowledgement):
                    connection.execute(sa.delete(table))

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": HEADERS}

        def before_call(self, case: Any) -> None:
            if case.operation.definition.raw["operationId"] != "subscribe":
                return
            number = next(self.numbers)
            if not number % 2:
                # Whether a generated request is ever accepted depends on the constants of imported modules.
                case.body = {}
            if isinstance(case.body, dict):
                case.body["callbackUri"] = f"http://consumer/{number}"
                case.body.pop("authentication", None)

        def validate_response(self, response: Any, case: Any, *args: Any, **kwargs: Any) -> None:
            answered.add((case.operation.definition.raw["operationId"], response.status_code))
            case.validate_response(response, checks=CHECKS)

    walk = settings(QUICK, max_examples=15, stateful_step_count=6)
    Walk.run(settings=walk)
    assert {("subscribe", 201), ("listIfaAlarms", 200)} <= answered
