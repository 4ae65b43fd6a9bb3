"""``/v1/health`` and ``/v1/health/checks``: who reads which findings, and checks with a caller's token."""

from __future__ import annotations

import datetime
import importlib.util
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from falcon import testing
from keystoneauth1.identity import v3
from keystoneauth1.loading import get_auth_plugin_conf_options
from keystoneauth1.session import Session
from keystonemiddleware import opts as middleware_opts

from eventalarm.http import openapi
from eventalarm.http.deploy import deploy
from eventalarm.ingest.application import DOCUMENT_FILE
from eventalarm.model import UTC
from eventalarm.model.findings import Finding, Health, TargetState
from eventalarm.storage import database as storage
from eventalarm.storage.pulse import PulseStore, PulseWrites
from tests.support.helpers import WebhookSink
from tests.support.ingest_api import IngestApi
from tests.support.keystone import DOMAIN, PASSWORD, Keystone

SLOW = "/slow/v2/lbaas/loadbalancers?limit=1&fields=id"
HEALTH, CHECK = "/v1/health", "/v1/health/checks/endpoint"
NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=UTC)
SCHEMAS = openapi.Schemas(openapi.load(DOCUMENT_FILE))


def put(database: storage.Database, check: str, *findings: Finding) -> None:
    states = [TargetState(finding=one, since=NOON, checked_at=NOON) for one in findings]
    PulseStore(database).update(check, lambda known: PulseWrites(states))


def found(target: str, health: Health = Health.OK, **more: Any) -> Finding:
    return Finding(target=target, health=health, summary=f"about {target}", **more)


@pytest.fixture
def api(lite_database: storage.Database) -> Iterator[IngestApi]:
    made = IngestApi("fake://", lambda: lite_database)
    put(
        lite_database,
        "nova_services",
        found("nova-compute on compute0", Health.CRITICAL, host="compute0", remedy="restart it"),
    )
    mine = found("vm of a", Health.WARNING, project_id="a", host="compute0", figures={"seconds": 0.5})
    put(lite_database, "command", mine, found("vm of b", project_id="b"))
    yield made
    made.close()


def targets(api: IngestApi, query: str = "", **who: str) -> set[str]:
    answer = api.call("GET", f"{HEALTH}{query}", **who)
    assert answer.status_code == 200, answer.text
    assert SCHEMAS.errors("CloudHealth", answer.json) == []
    return {one["target"] for one in answer.json["findings"]}


def test_operators_read_everything_and_tenants_their_project(api: IngestApi) -> None:
    """Red when findings without a project are returned to tenants, and when the project is not compared."""
    assert targets(api, roles="admin") == {"nova-compute on compute0", "vm of a", "vm of b"}
    assert targets(api, "?project_id=b", roles="admin") == {"vm of b"}
    assert targets(api) == {"vm of a"}
    assert targets(api, project="b", roles="reader") == {"vm of b"}
    assert targets(api, project="c") == set()
    refused = api.call("GET", f"{HEALTH}?project_id=b")
    assert refused.status_code == 403
    assert "about vm" not in refused.text


def test_what_a_finding_shows(api: IngestApi) -> None:
    body = api.call("GET", HEALTH).json
    assert body == {
        "status": "warning",
        "checked_at": "2026-11-20T12:00:00+00:00",
        "findings": [
            {
                "check": "command",
                "target": "vm of a",
                "status": "warning",
                "summary": "about vm of a",
                "remedy": None,
                "figures": {"seconds": 0.5},
                "since": "2026-11-20T12:00:00+00:00",
                "checked_at": "2026-11-20T12:00:00+00:00",
                "project_id": "a",
                "host": None,
            }
        ],
    }
    everything = api.call("GET", HEALTH, roles="admin").json
    assert everything["status"] == "critical"
    assert {one["host"] for one in everything["findings"]} == {"compute0", None}
    assert api.call("GET", HEALTH, project="c").json == {
        "status": "unknown",
        "checked_at": None,
        "findings": [],
    }


def test_without_keystone_no_check_runs(api: IngestApi) -> None:
    answer = api.call("POST", CHECK)
    assert answer.status_code == 404
    assert "auth_mode" in answer.json["detail"]
    assert api.call("POST", CHECK, roles="reader").status_code == 403


@pytest.fixture(scope="module")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    made = Keystone(tmp_path_factory.mktemp("keystone"))
    with made.running():
        yield made


class Tenant:
    """A member of a project, and the API behind keystonemiddleware with a real Keystone."""

    def __init__(self, keystone: Keystone, name: str) -> None:
        self._keystone = keystone
        self.project = keystone.project(name)
        self._name = f"member of {name}"
        keystone.user(self._name, self.project, "member")
        self.api = IngestApi("fake://", auth_mode="keystone")
        conf = self.api.conf
        for group, listed in middleware_opts.list_auth_token_opts():
            conf.register_opts(listed, group=group)
        conf.register_opts(get_auth_plugin_conf_options("password"), group="keystone_authtoken")
        options = {**keystone.credentials(), "www_authenticate_uri": keystone.url, "interface": "public"}
        for option, value in options.items():
            conf.set_override(option, value, group="keystone_authtoken")
        conf.set_override("timeout", 2.0, group="eventalarm_pulse")
        deployed = deploy(self.api.app, conf, auth_mode="keystone", backends=())

        def called(environ: Any, start_response: Any) -> Any:
            # Falcon examines the signature, which the middleware hides.
            return deployed(environ, start_response)

        self._client = testing.TestClient(called)

    def password_token(self) -> str:
        return str(
            Session(
                v3.Password(
                    self._keystone.url,
                    username=self._name,
                    password=PASSWORD,
                    user_domain_id=DOMAIN,
                    project_id=self.project,
                )
            ).get_token()
        )

    def application_token(self) -> str:
        identity, secret = self._keystone.application_credential(self._name, self.project)
        auth = v3.ApplicationCredential(
            self._keystone.url, application_credential_id=identity, application_credential_secret=secret
        )
        return str(Session(auth).get_token())

    def check(self, token: str, path: str = CHECK) -> testing.Result:
        return self._client.simulate_post(path, headers={"X-Auth-Token": token})


def refusing_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_tenant_runs_a_check_with_the_own_token(keystone: Keystone, webhook_sink: WebhookSink) -> None:
    """With a password and with an application credential: what runs, what does not answer, what is kept.

    Red when the token is exchanged for another one, which Keystone forbids with this option set; when results
    are not kept; and when the remedy for operators is left in a finding.
    """
    keystone.register("barbican", "key-manager", webhook_sink.url("/keys"))
    keystone.register("manila", "shared-file-system", f"http://127.0.0.1:{refusing_port()}")
    tenants = [Tenant(keystone, "by password"), Tenant(keystone, "by application")]
    tokens = [tenants[0].password_token(), tenants[1].application_token()]
    for tenant, token in zip(tenants, tokens, strict=True):
        answer = tenant.check(token)
        assert answer.status_code == 200, answer.text
        assert SCHEMAS.errors("CloudHealth", answer.json) == []
        one = {finding["target"].split(" ")[0]: finding for finding in answer.json["findings"]}
        assert one["barbican"]["status"] == "ok", one
        assert one["manila"]["status"] == answer.json["status"] == "critical", one
        assert {finding["project_id"] for finding in one.values()} == {tenant.project}
        assert "operator" in one["manila"]["remedy"]
        assert token not in answer.text
        before = len(webhook_sink.requests)
        again = tenant.check(token).json
        assert again == answer.json | {"cached": True}
        assert len(webhook_sink.requests) == before
        assert tenant.check(token, "/v1/health/checks/nova_services").status_code == 404
        assert tenant.check("no token").status_code == 401
        tenant.api.close()


def test_a_service_that_hangs_bounds_the_request_and_the_project(
    keystone: Keystone, webhook_sink: WebhookSink
) -> None:
    """Red when the runner does not give up, and when a project may run two checks."""
    keystone.register("octavia", "load-balancer", webhook_sink.url("/slow"))
    tenant = Tenant(keystone, "patient")
    token = tenant.password_token()
    release = webhook_sink.hang(SLOW)
    answers: list[testing.Result] = []
    first = threading.Thread(target=lambda: answers.append(tenant.check(token)))
    first.start()
    webhook_sink.wait(1, SLOW)
    busy = tenant.check(token)
    first.join(10)
    release()
    assert busy.status_code == 429, busy.text
    assert int(busy.headers["Retry-After"]) >= 1
    (answer,) = answers
    assert answer.status_code == 200, answer.text
    slow = [one for one in answer.json["findings"] if one["target"].startswith("octavia")]
    assert [one["status"] for one in slow] == ["critical"]
    tenant.api.close()


def test_without_the_extra_the_remedy_is_named(keystone: Keystone, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = Tenant(keystone, "without")
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "openstack" else real(name, *more)
    )
    answer = tenant.check(tenant.password_token())
    assert answer.status_code == 404
    assert "eventalarm[pulse]" in answer.json["detail"]
    tenant.api.close()
