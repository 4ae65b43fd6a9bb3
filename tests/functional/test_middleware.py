"""What stands in front of both APIs: request ids, CORS, proxy headers, tracing and the health check."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import pathlib
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from email.message import Message
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from oslo_log import formatters
from osprofiler import notifier, web
from osprofiler import profiler as profiler_module

from eventalarm import bus, service
from eventalarm.http.deploy import deploy
from eventalarm.ifa_shim.api import application as ifa
from eventalarm.ingest import application as ingest
from eventalarm.storage.tables import alarm
from tests.support.helpers import WebhookSink, aodh_config
from tests.support.ifa_api import IfaApi
from tests.support.ifa_server import served
from tests.support.ingest_api import IngestApi

WHO = {"X-Project-Id": "project-a", "X-User-Id": "u", "X-Roles": "member,reader"}
ALARMS = "/ifa/v1/alarms"
REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
GLOBAL = "req-01234567-89ab-cdef-0123-456789abcdef"
PAGE = "https://noc.example.org"


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Message]:
    """Return status, body and headers of an answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, method=method, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read(), exc.headers


@contextlib.contextmanager
def log_lines() -> Iterator[io.StringIO]:
    """Collect the log of eventalarm in the form of oslo.log."""
    conf = cfg.ConfigOpts()
    from oslo_log import log  # noqa: PLC0415 - registers its options on this configuration only

    log.register_options(conf)
    conf([], default_config_files=[])
    kept = io.StringIO()
    handler = logging.StreamHandler(kept)
    handler.setFormatter(formatters.ContextFormatter(config=conf))
    logger = logging.getLogger("eventalarm")
    logger.addHandler(handler)
    try:
        yield kept
    finally:
        logger.removeHandler(handler)


@pytest.fixture
def ingest_root() -> Iterator[str]:
    """The URL of an ingest API."""
    made = IngestApi("fake://")
    app = deploy(made.app, made.conf, auth_mode="noauth", backends=ingest.HEALTH_BACKENDS)
    with served(app) as root:
        yield root
    made.close()


def test_every_answer_and_every_problem_of_both_apis_has_a_request_id(lite: IfaApi, ingest_root: str) -> None:
    with served(ifa.application(lite.conf, lite.database)) as ifa_root:
        seen = set()
        for root, path, status in (
            (ifa_root, ALARMS, 200),
            (ifa_root, "/nothing", 404),
            (ifa_root, "/healthcheck", 503),
            (ingest_root, "/v1/keys", 200),
            (ingest_root, "/v1/nothing", 404),
        ):
            found, body, headers = ask(root + path, **WHO)
            assert found == status
            number = headers["x-openstack-request-id"]
            assert REQUEST_ID.fullmatch(number)
            seen.add(number)
            if status == 404:
                assert json.loads(body)["request_id"] == number
        assert len(seen) == 5
        assert json.loads(ask(ifa_root + ALARMS)[1])["request_id"].startswith("req-")


def test_log_lines_name_the_request_its_origin_and_its_caller(lite: IfaApi) -> None:
    with lite.database.engine.begin() as connection:
        connection.execute(sa.schema.DropTable(alarm))
    with served(ifa.application(lite.conf, lite.database)) as root, log_lines() as lines:
        first = ask(root + ALARMS, X_Openstack_Request_Id=GLOBAL, **WHO)
        second = ask(root + ALARMS, X_Openstack_Request_Id="req-forged", **WHO)
    assert (first[0], second[0]) == (503, 503)
    one, two = [line for line in lines.getvalue().splitlines() if "WARNING" in line]
    assert f"[{GLOBAL} {first[2]['x-openstack-request-id']} u project-a" in one
    assert f"[None {second[2]['x-openstack-request-id']} u project-a" in two


def test_a_page_of_another_origin_may_call_the_api_only_if_it_is_listed(lite: IfaApi) -> None:
    preflight = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "x-auth-token"}
    with served(ifa.application(lite.conf, lite.database)) as root:
        answer = ask(root + ALARMS, **WHO, Origin=PAGE)[2]
        assert not [name for name in answer if name.lower().startswith("access-control")]
    lite.conf.set_override("allowed_origin", [PAGE], group="cors")
    with served(ifa.application(lite.conf, lite.database)) as root:
        status, _, answer = ask(root + ALARMS, "OPTIONS", Origin=PAGE, **preflight)
        assert (status, answer["Access-Control-Allow-Origin"]) == (200, PAGE)
        assert "PATCH" in answer["Access-Control-Allow-Methods"]
        assert "x-auth-token" in answer["Access-Control-Allow-Headers"].lower()
        answer = ask(root + ALARMS, **WHO, Origin=PAGE)[2]
        assert answer["Access-Control-Allow-Origin"] == PAGE
        assert "X-Openstack-Request-Id" in answer["Access-Control-Expose-Headers"]
        other = ask(root + ALARMS, **WHO, Origin="https://elsewhere.example")[2]
        assert "Access-Control-Allow-Origin" not in other


@pytest.mark.parametrize("parsed", [True, False])
def test_links_begin_as_the_proxy_says_if_its_headers_are_trusted(
    lite: IfaApi, webhook_sink: WebhookSink, parsed: bool
) -> None:
    webhook_sink.behave("/cb", statuses=[204])
    app = ifa.application(lite.conf, lite.database)
    lite.conf.set_override("enable_proxy_headers_parsing", parsed, group="oslo_middleware")
    body = json.dumps({"callbackUri": webhook_sink.url("/cb")}).encode()
    proxy = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "cloud.example.org",
        "X-Forwarded-Prefix": "/nfv",
    }
    with served(app) as root:
        headers = {**WHO, **proxy, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{root}/vnffm/v1/subscriptions", data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            location = answer.headers["Location"]
    expected = "https://cloud.example.org/nfv" if parsed else root
    assert location.startswith(f"{expected}/vnffm/v1/subscriptions/")
    stored = lite.database.engine.connect()
    with stored:
        (base,) = stored.execute(sa.text("SELECT api_root FROM eventalarm_subscription")).one()
    assert base == f"{expected}/vnffm/v1"


def prepared(tmp_path: pathlib.Path, database_url: str, transport_url: str, **sections: Any) -> Any:
    """Return the configuration that a service reads."""
    path = aodh_config(
        tmp_path,
        database_url,
        transport_url,
        **{"eventalarm_ifa": {"auth_mode": "noauth"}, "eventalarm": {"health_timeout": 5}, **sections},
    )
    return service.prepare(["--config-file", str(path)], prog="test", description="", epilog="")


def test_a_request_is_traced_only_with_its_key(lite: IfaApi, tmp_path: pathlib.Path) -> None:
    profiler = {"enabled": True, "hmac_keys": "SECRET", "connection_string": "messaging://"}

    conf = prepared(tmp_path, str(lite.database.engine.url), "fake://", profiler=profiler)
    app = ifa.application(conf, lite.database)
    seen: list[Mapping[str, Any]] = []
    before = notifier.get()
    notifier.set(lambda info, context=None: seen.append(info))
    try:
        with served(app) as root:
            for key in ("SECRET", "wrong"):
                profiler_module.init(key, base_id="b-1", parent_id="p-1")
                trace = web.get_trace_id_headers()
                profiler_module.clean()
                assert ask(root + ALARMS, **WHO, **trace)[0] == 200
    finally:
        notifier.set(before)
        web.disable()
    assert [one["name"] for one in seen] == ["wsgi-start", "wsgi-stop"]


class Silent:
    """A server that accepts connections and never answers."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    made = Silent()
    yield made
    made.close()


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("health check")]


def test_the_health_check_needs_no_token_and_asks_real_services(
    lite: IfaApi, our_sqlite_url: str, rabbit_url: str, tmp_path: pathlib.Path
) -> None:
    conf = prepared(
        tmp_path,
        our_sqlite_url,
        rabbit_url,
        healthcheck={"backends": "eventalarm_database,eventalarm_broker"},
        eventalarm_ifa={"auth_mode": "keystone"},
    )
    with served(ifa.application(conf, lite.database)) as root:
        status, body, _ = ask(f"{root}/healthcheck")
        assert (status, body.decode().split("\n")) == (200, ["the database answers", "the broker answers"])
        assert ask(f"{root}/healthcheck", "HEAD")[:2] == (204, b"")
        status, body, _ = ask(f"{root}/healthcheck", Accept="application/json")
        found = json.loads(body)
        assert found == {"detailed": False, "reasons": ["the database answers", "the broker answers"]}
        # [keystone_authtoken] is missing: an error of the middleware is answered as others are.
        status, body, headers = ask(root + ALARMS)
        assert (status, headers["Content-Type"]) == (500, "application/problem+json")
        assert json.loads(body)["request_id"] == headers["x-openstack-request-id"]


@pytest.mark.parametrize("api", ["ifa", "ingest"])
def test_a_database_or_broker_that_hangs_is_reported_within_the_time_by_one_thread(
    lite: IfaApi, silent: Silent, tmp_path: pathlib.Path, api: str
) -> None:
    secret = "not-for-everybody"
    conf = prepared(
        tmp_path,
        f"mysql+pymysql://aodh:{secret}@{silent.address}/aodh",
        f"rabbit://aodh:{secret}@{silent.address}/",
        eventalarm={"health_timeout": 0.2},
        eventalarm_ingest={"auth_mode": "noauth"},
    )
    app: Any = ifa.application(conf, lite.database)
    expected = b"the database does not answer"
    if api == "ingest":
        app = ingest.application(conf, bus.get_transport(conf), lambda: lite.database)
        expected = b"the broker does not answer"
    with served(app) as root:
        for _ in range(10):
            status, body, _ = ask(f"{root}/healthcheck")
            assert (status, body) == (503, expected)
            assert len(threads()) <= 1
        _, detail, _ = ask(f"{root}/healthcheck", Accept="application/json")
        assert secret.encode() not in detail
    silent.close()


def test_refused_connections_are_reported_without_credentials_also_in_detail(
    lite: IfaApi, tmp_path: pathlib.Path, silent: Silent
) -> None:
    silent.close()
    conf = prepared(
        tmp_path,
        f"mysql+pymysql://aodh:secret@{silent.address}/aodh",
        f"rabbit://aodh:secret@{silent.address}/",
        healthcheck={"backends": "eventalarm_database,eventalarm_broker", "detailed": True},
    )
    with served(ifa.application(conf, lite.database)) as root:
        status, body, _ = ask(f"{root}/healthcheck", Accept="application/json")
        assert (status, [one["reason"] for one in json.loads(body)["reasons"]]) == (
            503,
            ["the database does not answer", "the broker does not answer"],
        )
        assert b"secret" not in body


def test_an_unknown_backend_is_unhealthy_instead_of_left_out(lite: IfaApi, tmp_path: pathlib.Path) -> None:
    conf = prepared(tmp_path, "sqlite://", "fake://", healthcheck={"backends": "eventalarm_databse"})
    with served(ifa.application(conf, lite.database)) as root, log_lines() as lines:
        assert ask(f"{root}/healthcheck")[0] == 503
        assert ask(f"{root}/healthcheck", "HEAD")[0] == 503
    assert "eventalarm_databse cannot be loaded" in lines.getvalue()
