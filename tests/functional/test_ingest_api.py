"""The ingest API: what it accepts, what it refuses and why, and how it answers while the broker is away."""

from __future__ import annotations

import datetime
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.core.result import Ok

from eventalarm import bus
from eventalarm.http import openapi
from eventalarm.ingest import application
from eventalarm.publisher.codec import decode
from eventalarm.storage import database as storage
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.functional.conftest import Spawn
from tests.functional.test_ifa_service import CHECKS, QUICK, TOKEN, keystone
from tests.support import monitors
from tests.support.builders import event_body
from tests.support.helpers import TopicListener, WebhookSink, aodh_config, console_script, wait_until
from tests.support.ingest_api import IngestApi, report, send
from tests.support.signing import new_key
from tests.support.telemetry import ceilometer_options

DOWN = {"hostname": "compute0", "status": "down"}
AT = datetime.datetime(2026, 11, 20, 23, 1, 36, tzinfo=datetime.UTC)
GOOD = report("compute.host.down", AT, **DOWN)
DOCUMENT = openapi.load(application.DOCUMENT_FILE)
SCHEMAS = openapi.Schemas(DOCUMENT)
ACCEPTED: dict[str, Any] = {
    "/v1/alertmanager": monitors.alertmanager(monitors.alert()),
    "/v1/zabbix": monitors.zabbix(),
    "/v1/collectd": monitors.collectd(),
}
REPLAY = {"since": "2026-11-20T23:01:36Z", "destination": "https://hooks.example.org"}
CEILOMETER = event_body(message_id="m-1", state="error")


@pytest.fixture(scope="module")
def api() -> Iterator[IngestApi]:
    """The API on a bus without a listener, with small limits."""
    one = IngestApi("fake://", max_events=3, max_body_size=4096, group={"max_event_traits": 20})
    yield one
    one.close()


def test_a_report_reaches_the_topic(rabbit_url: str, figure: Callable[[str], None]) -> None:
    """Fails when a form is not parsed, and when 202 does not wait for the broker."""
    api, listener = IngestApi(rabbit_url), TopicListener(bus.get_transport(ceilometer_options(rabbit_url)))
    second, third = report("compute.host.up", AT, **DOWN), report("a.b", AT, project_id="p", x={"y": 1})
    try:
        bodies = [{"event": GOOD}, {"events": [GOOD, second, {"event": third}]}, CEILOMETER, [CEILOMETER]]
        answers = [api.post(body) for body in bodies]
        assert [answer.status_code for answer in answers] == [202] * 4
        ids = [one for answer in answers for one in answer.json["message_ids"]]
        listener.wait(4)
        assert listener.ids == ids
        assert ids[0] == ids[1], "the same report twice is one event"
        assert ids[4] == ids[5] == "m-1"
        found, invalid = decode(listener.messages[1]["payload"])
        assert invalid == []
        assert [one.event_type for one in found] == ["compute.host.down", "compute.host.up", "a.b"]
        assert (found[2].trait("project_id"), found[2].trait("x.y")) == ("p", 1)
        many = {"events": [report("a.b", AT, n=n) for n in range(1000)]}
        begun = time.monotonic()
        assert api.post(many).json["accepted"] == 1000
        figure(f"ingest: 1000 events in one request took {(time.monotonic() - begun) * 1000:.0f} ms")
    finally:
        listener.close()
        api.close()


def test_reports_get_503_while_the_broker_is_away(rabbitmq: RabbitMQ, rabbit_url: str) -> None:
    """Fails when a failed publish is answered with 202, and when the broker's return is not noticed."""
    api = IngestApi(rabbit_url, retry_after=7)
    try:
        assert api.post({"event": GOOD}).status_code == 202
        rabbitmq.kill()
        begun = time.monotonic()
        answer = api.post({"event": GOOD})
        assert time.monotonic() - begun < 20
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "send the same request again" in answer.json["detail"]
        statuses: list[int] = []
        callers = [
            threading.Thread(target=lambda: statuses.append(api.post({"event": GOOD}).status_code))
            for _ in range(4)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert statuses == [503] * 4
        rabbitmq.start()
        wait_until(lambda: api.post({"event": GOOD}).status_code == 202, 60, "events are taken again")
    finally:
        rabbitmq.start()
        api.close()


def event(**changes: Any) -> dict[str, Any]:
    return {**CEILOMETER, **changes}


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (b"", "", "not JSON"),
        (b"[" * 4000, "", "not JSON"),
        (b'{"event": {"time": "2026", "type": "a", "details": {"x": NaN}}}', "", "NaN is not a JSON number"),
        (b'{"event": {"time": "2026", "type": "a", "details": {"x": 1e999}}}', "", "1e999 is not a JSON"),
        (5, "", "not of type 'object'; Give an object {time, type, details}"),
        ([], "", "should be non-empty; Give a list of at least one event"),
        ({"events": {}}, "/events", "not of type 'array'"),
        ({"events": [GOOD] * 4}, "/events", "more than 3 events ([eventalarm_ingest] max_events)"),
        ({"event": {"type": "a", "details": {}}}, "/event", "'time' is a required property"),
        (
            {"event": {**GOOD, "time": "soon"}},
            "/event/time",
            "not an ISO 8601 date: 'soon'; give an ISO 8601 time",
        ),
        ({"event": {**GOOD, "type": ""}}, "/event/type", "Give a string of 1 to 255 characters"),
        ({"event": {**GOOD, "type": "a\0"}}, "/event/type", "Give a string"),
        ({"event": {**GOOD, "type": "\ud800"}}, "/event", "bad_event_type"),
        ({"event": {**GOOD, "detail": {}}}, "/event", "'detail' was unexpected"),
        ({"events": [GOOD, {**GOOD, "details": []}]}, "/events/1/details", "each member becomes a trait"),
        ({"event": {**GOOD, "details": {str(n): n for n in range(21)}}}, "/event", "too_many_traits: 21"),
        ([CEILOMETER, event(traits="x")], "/1/traits", "Give a list of traits, each [name, type, value]"),
        (event(traits=[["x", 5, "v"]]), "/traits/0/1", "Give the trait's type: 1 string"),
        (event(traits=[["x", 2, "v"]]), "/traits/0/2", "give a value of trait type 2, or another type"),
        (event(traits=[["x", 1]]), "/traits/0", "Give a trait as [name, type, value]"),
        (event(generated="yesterday"), "/generated", "not an ISO 8601 date"),
        (event(message_id=""), "/message_id", "Give a string of 1 to 255 characters"),
    ],
)
def test_an_error_names_the_field_and_the_remedy(api: IngestApi, body: Any, field: str, words: str) -> None:
    answer = api.post(body)

    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    first = answer.json["errors"][0]
    assert first["field"] == field
    assert first["remedy"]
    assert words in f"{first['problem']}; {first['remedy']}"
    assert words in answer.json["detail"]


def test_unauthorised_and_oversized_requests_are_refused(api: IngestApi) -> None:
    """Fails with a policy that lets tenants report, and without a bound on the body."""
    assert api.post({"event": GOOD}, roles="member,reader").status_code == 403
    assert api.post({"event": GOOD}, roles="").status_code == 401
    assert api.post({"event": GOOD}, roles="admin").status_code == 202
    large = api.post({"event": {**GOOD, "details": {"x": "y" * 5000}}})
    assert (large.status_code, "max_body_size" in large.json["detail"]) == (413, True)
    form = api.client.simulate_post(
        "/v1/events", body="a=b", headers={"X-Project-Id": "p", "X-Roles": "admin"}
    )
    assert form.status_code == 415
    assert api.client.simulate_get("/v1/openapi.json").json["openapi"] == "3.1.0"


@pytest.mark.parametrize(("path", "body"), ACCEPTED.items())
def test_monitors_have_the_limits_of_other_callers(api: IngestApi, path: str, body: Any) -> None:
    """Fails when a form of a monitor bypasses the policy, the size of a body or the check of an event."""
    assert api.post(body, path).status_code == 202
    assert [api.post(body, path, roles).status_code for roles in ("member,reader", "")] == [403, 401]
    assert api.post(b" " * 5000, path).status_code == 413
    for hostile in (
        b"",
        b"[" * 4000,
        b'{"version": "4", "alerts": [NaN]}',
        b'"\\ud800"',
        b"\xff",
        b"[]",
        b"{}",
    ):
        answer = api.post(hostile, path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
        assert answer.json["errors"][0]["remedy"]


def test_the_service_asks_keystone(
    aodh_sqlite_url: str, rabbit_url: str, tmp_path: pathlib.Path, spawn: Spawn, webhook_sink: WebhookSink
) -> None:
    """The whole command; the role of the token decides."""
    keystone(webhook_sink)
    authtoken = {
        "auth_type": "admin_token",
        "endpoint": webhook_sink.url("/v3"),
        "token": "service-token",
        "www_authenticate_uri": webhook_sink.url("/"),
        "token_cache_time": -1,
    }
    options: dict[str, Any] = {"eventalarm_ingest": {"port": 0}, "keystone_authtoken": authtoken}
    conf = aodh_config(tmp_path, aodh_sqlite_url, rabbit_url, **options)
    process = spawn([console_script("eventalarm-ingest-api"), "--config-file", str(conf)])
    root = process.wait_for_log(r"Serving on (http://\S+)")[1]
    listener = TopicListener(bus.get_transport(ceilometer_options(rabbit_url)))
    try:
        url, reported, token = f"{root}/v1/events", {"event": GOOD}, {"X-Auth-Token": TOKEN}
        assert send(url, reported, **{"X-Identity-Status": "Confirmed", "X-Roles": "admin"})[0] == 401
        assert send(url, reported, **token)[0] == 403, "a reader"
        answered = webhook_sink._behaviours["/v3/auth/tokens"]
        as_service = answered.body.replace(b'"reader"', b'"service"')
        webhook_sink.behave("/v3/auth/tokens", body=as_service, headers=answered.headers)
        status, accepted = send(url, reported, **token)
        assert (status, accepted["accepted"]) == (202, 1)
        listener.wait(1)
        assert listener.ids == accepted["message_ids"]
    finally:
        listener.close()
    assert process.terminate() == 0


def test_every_response_is_as_documented(dry: tuple[IngestApi, storage.Database]) -> None:
    api, _ = dry
    document = schemathesis.openapi.from_dict(dict(DOCUMENT))
    document.app = api.app
    headers = {"X-Project-Id": "p", "X-User-Id": "u", "X-Roles": "admin,reader"}
    seen: set[tuple[str, int]] = set()
    for one in document.get_all_operations():
        assert isinstance(one, Ok), one
        operation = one.ok()

        def try_out(case: Any) -> None:
            answer = case.call_and_validate(headers=headers, checks=CHECKS)
            seen.add((case.operation.definition.raw["operationId"], answer.status_code))

        @QUICK
        @hypothesis.given(case=operation.as_strategy())
        def fuzz(case: Any) -> None:
            if isinstance(case.body, dict) and case.path.endswith("test"):
                case.body.pop("alarm_id", None)
            try_out(case)

        fuzz()
        if operation.method == "post" and "{" not in operation.path:
            # Whether generated requests are ever accepted depends on the constants of the code.
            body = (ACCEPTED | {"/v1/deliveries/replay": REPLAY}).get(operation.path, {"event": GOOD})
            try_out(operation.Case(body=body, media_type="application/json"))
    reports = ("reportEvents", "reportAlerts", "reportProblem", "reportNotifications")
    assert {(name, status) for name in reports for status in (202, 400)} <= seen
    assert {("testRule", 400), ("document", 200), ("createSecret", 201), ("getKeys", 200)} <= seen


@pytest.fixture
def dry(our_sqlite_url: str) -> Iterator[tuple[IngestApi, storage.Database]]:
    opened = storage.connect(our_sqlite_url)
    group = {"infrastructure_projects": ["admins"]}
    one = IngestApi("fake://", lambda: opened, group=group, credentials_key=new_key())
    yield one, opened
    one.close()
    opened.dispose()
