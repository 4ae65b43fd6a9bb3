"""The HTTP rules for our APIs (RFC 9110, RFC 9112, SOL013): typing errors are reported, headers are valid."""

from __future__ import annotations

import gzip
import json
import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from eventalarm.ifa_shim.api import application
from eventalarm.storage import database as storage
from tests.support.ifa_api import IfaApi
from tests.support.ifa_server import served, serving
from tests.support.ingest_api import IngestApi, report
from tests.support.subscribers import bound, fault

FAULTS, IFA, SUBSCRIPTIONS = "/vnffm/v1/alarms", "/ifa/v1/alarms", "/vnffm/v1/subscriptions"
MERGE = {"Content-Type": "application/merge-patch+json"}
WHO = {"X-Project-Id": "project-a", "X-User-Id": "u", "X-Roles": "member,reader"}


@pytest.fixture
def lite(our_sqlite_url: str) -> Iterator[IfaApi]:
    """The API on SQLite, with one alarm raised whose reason has a plus sign."""
    opened = storage.connect(our_sqlite_url)
    api = IfaApi(opened, test_callback=False)
    api.alarm(bound("vm-1"), "a-1", severity="critical")
    api.engine.process(fault("vm-1", language="C++ and more"))
    yield api
    opened.dispose()


@pytest.fixture
def ingest() -> Iterator[IngestApi]:
    made = IngestApi("fake://")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (f"{FAULTS}?badFilter=x", "filter"),
        (f"{FAULTS}?fliter=(eq,perceivedSeverity,MINOR)", "filter"),
        (f"{FAULTS}?perceivedSeverity=MINOR", "exclude_fields"),
        (f"{FAULTS}?perceivedSeverity.eq=CRITICAL", "filter"),
        (f"{FAULTS}?Filter=(eq,id,x)", "filter"),
        (f"{FAULTS}?filter=(eq,id,x)&limit=1", "filter"),
        (f"{FAULTS}?=x", "filter"),
        (f"{FAULTS}/a-1?fields=faultType", "no parameters"),
        (f"{IFA}?severty=CRITICAL", "severity"),
        (f"{IFA}?minSeverity=MAJOR", "min_severity"),
        (f"{IFA}/a-1?all_project=true", "no parameters"),
        (f"{IFA}/a-1/history?order=newest", "limit"),
        (f"{SUBSCRIPTIONS}?filter_invalid", "filter"),
        ("/openapi.json?pretty", "no parameters"),
        ("/vnffm/api_versions?x=1", "no parameters"),
    ],
)
def test_an_unknown_query_parameter_is_named_with_those_that_exist(
    lite: IfaApi, path: str, known: str
) -> None:
    answer = lite.get(path)
    assert answer.status_code == 400
    name = path.partition("?")[2].partition("&limit")[0].partition("=")[0] if "&" not in path else "limit"
    assert f"unknown query parameter {name!r}" in answer.json["detail"]
    assert known in answer.json["detail"]
    if "api_versions" not in path:
        assert (
            lite.client.simulate_head(path.partition("?")[0], query_string="x", headers=WHO).status_code
            == 400
        )


def test_an_unknown_path_and_an_unsupported_method_are_explained(lite: IfaApi) -> None:
    unknown = lite.get("/vnffm/v2/alarms")
    assert (unknown.status_code, unknown.json["detail"]) == (404, "unknown path")
    answer = lite.call("POST", f"{FAULTS}/a-1", body={})
    assert answer.status_code == 405
    assert answer.json["detail"] == f"this resource supports only {answer.headers['Allow']}"
    assert "PATCH" in answer.headers["Allow"]


def test_unknown_parameters_of_other_methods_are_refused_too(lite: IfaApi, ingest: IngestApi) -> None:
    body = {"callbackUri": "http://192.0.2.1/x"}
    assert lite.call("POST", f"{SUBSCRIPTIONS}?allprojects=true", body=body).status_code == 400
    assert lite.get(SUBSCRIPTIONS).json == []
    patch = lite.call("PATCH", f"{FAULTS}/a-1?force", body={"ackState": "ACKNOWLEDGED"}, headers=MERGE)
    assert patch.status_code == 400
    for path in ("/v1/events?dry_run=true", "/v1/rules/test?verbose"):
        answer = ingest.client.simulate_post(path, body="{}", headers={**WHO, "X-Roles": "service"})
        assert (answer.status_code, "unknown query parameter" in answer.json["detail"]) == (400, True)


@pytest.mark.parametrize("query", ["limit=1&limit=2", "raised_after=2026-01-01&raised_after=2026-02-01"])
def test_a_parameter_that_is_not_a_list_may_be_given_only_once(lite: IfaApi, query: str) -> None:
    answer = lite.get(f"{IFA}?{query}")
    assert (answer.status_code, "given once" in answer.json["detail"]) == (400, True)
    assert lite.get(f"{IFA}?fault_type=a&fault_type=b&state=FIRED").status_code == 200


@pytest.mark.parametrize("plus", ["+", "%2B"])
def test_a_plus_sign_in_a_query_is_a_plus_sign(lite: IfaApi, plus: str) -> None:
    long_ago, soon = f"2020-01-01T05:30:00{plus}05:30", f"2999-01-01T05:30:00{plus}05:30"
    for query, count in (
        (f"{FAULTS}?filter=(gte,alarmRaisedTime,{long_ago})", 1),
        (f"{FAULTS}?filter=(gte,alarmRaisedTime,{soon})", 0),
        (f"{FAULTS}?filter=(cont,faultDetails,C{plus}{plus}%20and)", 1),
        (f"{FAULTS}?filter=(cont,faultDetails,C{plus}{plus}x)", 0),
        (f"{IFA}?raised_after={long_ago}", 1),
        (f"{IFA}?raised_after={soon}", 0),
    ):
        answer = lite.get(query)
        assert answer.status_code == 200, answer.text
        assert len(answer.json) == count, query


def test_blanks_of_http_libraries_are_blanks(lite: IfaApi) -> None:
    """requests, httpx, URLSearchParams and URLEncoder encode a value as a form, blanks as plus signs."""
    for text, count in (
        ("(cont,faultDetails,'C++ and more')", 1),
        ("(cont,faultDetails,and more)", 1),
        ("(cont,faultDetails,and+more)", 0),
        ("(gte,alarmRaisedTime,2020-01-01T05:30:00+05:30)", 1),
    ):
        query = urllib.parse.urlencode({"filter": text, "exclude_default": ""})
        answer = lite.get(f"{FAULTS}?{query}")
        assert (answer.status_code, len(answer.json)) == (200, count), query


def test_paging_keeps_a_plus_sign_and_a_blank(lite: IfaApi) -> None:
    lite.alarm(bound("vm-2"), "a-2")
    lite.engine.process(fault("vm-2", language="C++ and more"))
    small = IfaApi(lite.database, page_size=1)
    asked = f"{FAULTS}?filter=(cont,faultDetails,'C++%20and')"
    assert sorted(one["id"] for one in small.pages(asked)) == ["a-1", "a-2"]


@pytest.mark.parametrize(
    "accept",
    [
        *("application/json", "APPLICATION/JSON", "application/json,", "text/html,,application/json"),
        *("Application/Json;q=0.9", "application/json; charset=utf-8", "", "text/html, */*;q=0.1", "*"),
    ],
)
def test_the_accept_header_follows_http(lite: IfaApi, accept: str) -> None:
    for path in (FAULTS, IFA, "/openapi.json", "/vnffm/api_versions"):
        assert lite.get(path, headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "text/*,"])
def test_an_unsupported_media_type_gets_406(lite: IfaApi, accept: str) -> None:
    assert lite.get(FAULTS, headers={"Accept": accept}).status_code == 406


@pytest.mark.parametrize(
    "path", [FAULTS, f"{FAULTS}/a-1", IFA, f"{IFA}/a-1", f"{IFA}/a-1/history", SUBSCRIPTIONS, "/openapi.json"]
)
def test_every_get_resource_answers_head(lite: IfaApi, path: str) -> None:
    got, head = (lite.client.simulate_request(method, path, headers=WHO) for method in ("GET", "HEAD"))
    assert (got.status_code, head.status_code, head.content) == (200, 200, b"")
    of_request = {"x-openstack-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in of_request} == {
        k: v for k, v in got.headers.items() if k not in of_request
    }
    options = lite.client.simulate_options(path, headers=WHO)
    assert {"GET", "HEAD"} <= set(options.headers["allow"].replace(" ", "").split(","))


def test_dashboard_versions_and_ingest_document_answer_head(lite: IfaApi, ingest: IngestApi) -> None:
    for path in ("/ui", "/ui/noc.js", "/vnffm/api_versions"):
        assert lite.client.simulate_head(path).status_code == 200
    assert ingest.client.simulate_head("/v1/openapi.json").status_code == 200


def test_conditional_requests(lite: IfaApi) -> None:
    for path in (f"{FAULTS}/a-1", f"{IFA}/a-1"):
        tag = lite.get(path).headers["etag"]

        def asked(method: str = "GET", path: str = path, **conditions: str) -> Any:
            headers = {**WHO, **{name.replace("_", "-"): value for name, value in conditions.items()}}
            return lite.client.simulate_request(method, path, headers=headers)

        for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            answer = asked(If_None_Match=known)
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        assert asked("HEAD", If_None_Match=tag).status_code == 304
        assert asked(If_None_Match='"zz"').status_code == 200
        assert asked(If_None_Match=tag.strip('"')).status_code == 200
        assert asked(If_Match='"zz"').status_code == 412
        assert asked(If_Match=f"W/{tag}").status_code == 412
        assert asked(If_Match=f'"zz", {tag}').status_code == 200
        assert asked(If_Match="*").status_code == 200
    wanted = {"ackState": "ACKNOWLEDGED"}
    path = f"{FAULTS}/a-1"
    for condition in ({"If-Match": '"zz"'}, {"If-Match": tag.strip('"')}, {"If-None-Match": "*"}):
        assert lite.call("PATCH", path, body=wanted, headers={**MERGE, **condition}).status_code == 412
    tag = lite.get(path).headers["etag"]
    assert lite.call("PATCH", path, body=wanted, headers={**MERGE, "If-Match": tag}).status_code == 200


def test_a_compressed_body_gets_415_with_the_reason(lite: IfaApi, ingest: IngestApi) -> None:
    compressed = gzip.compress(b'{"ackState": "ACKNOWLEDGED"}')
    coded = {**WHO, "X-Roles": "service,member", "Content-Encoding": "gzip"}
    answers = [
        lite.client.simulate_patch(f"{FAULTS}/a-1", body=compressed, headers={**coded, **MERGE}),
        lite.client.simulate_post(
            SUBSCRIPTIONS, body=compressed, headers={**coded, "Content-Type": "application/json"}
        ),
        ingest.client.simulate_post(
            "/v1/events", body=compressed, headers={**coded, "Content-Type": "application/json"}
        ),
    ]
    for answer in answers:
        assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    plain = {"ackState": "ACKNOWLEDGED"}
    headers = {**MERGE, "Content-Encoding": "Identity"}
    assert lite.call("PATCH", f"{FAULTS}/a-1", body=plain, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"callbackUri": 5},
        {},
        [],
        {"callbackUri": "http://192.0.2.1/x", "filter": {"perceivedSeverities": ["critical"]}},
        {"callbackUri": "http://192.0.2.1/x", "filter": {"notificationTypes": "AlarmNotification"}},
        {"callbackUri": "http://192.0.2.1/x", "colour": "red"},
    ],
)
def test_json_that_breaks_the_schema_is_422(lite: IfaApi, body: Any) -> None:
    assert lite.call("POST", SUBSCRIPTIONS, body=body).status_code == 422
    assert lite.call("POST", SUBSCRIPTIONS, body=json.dumps(body)[:-1]).status_code == 400


@pytest.mark.parametrize("version", [f"1.{minor}.0" for minor in range(2, 11)])
def test_every_published_version_is_answered(lite: IfaApi, version: str) -> None:
    assert lite.get(FAULTS, headers={"Version": version}).headers["version"] == version
    listed = lite.get("/vnffm/api_versions").json["apiVersions"]
    assert version in [one["version"] for one in listed]


def raw(url: str, *lines: str) -> bytes:
    """Return what a server answers to the lines of a request."""
    parts = urllib.parse.urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode())
        found = b""
        while chunk := connection.recv(65536):
            found += chunk
    return found


def test_exactly_one_host_header_is_required(lite: IfaApi) -> None:
    with serving(lite) as url:
        close = "Connection: close"
        old = raw(url, "GET /vnffm/api_versions HTTP/1.0")
        assert old.split()[1] == b"200"
        assert f'"uriPrefix": "{url}/vnffm/v1/"'.encode() in old
        for wrong in ([], ["Host: a", "Host: b"], ["Host: a, b"], ["Host: a/b"], ["Host:"]):
            answer = raw(url, "GET /vnffm/api_versions HTTP/1.1", close, *wrong)
            assert answer.split()[1] == b"400"
            assert b"application/problem+json" in answer
        good = raw(url, "GET /vnffm/api_versions HTTP/1.1", close, "Host: cloud.example:81")
        assert b'"uriPrefix": "http://cloud.example:81/vnffm/v1/"' in good


PREFIX = "/nfv-alarm"


def mounted(app: Any) -> Callable[..., Iterable[bytes]]:
    """Return *app* mounted as by uwsgi's mount or WSGIScriptAlias, with 404 elsewhere."""

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith(f"{PREFIX}/"):
            start_response("404 Not Found", [("Content-Length", "0")])
            return [b""]
        inner = {**environ, "SCRIPT_NAME": PREFIX, "PATH_INFO": path.removeprefix(PREFIX)}
        found: Iterable[bytes] = app(inner, start_response)
        return found

    return call


def test_links_keep_the_prefix_of_a_mounted_service(lite: IfaApi) -> None:
    for number in (2, 3):
        lite.alarm(bound(f"vm-{number}"), f"a-{number}")
        lite.engine.process(fault(f"vm-{number}"))
    lite.conf.set_override("page_size", 1, group="eventalarm_ifa")
    app = application.application(lite.conf, lite.database)
    with served(mounted(app)) as root:
        check_links(root)


def get(url: str) -> tuple[Any, Any]:
    with urllib.request.urlopen(urllib.request.Request(url, headers=WHO), timeout=20) as answer:
        return json.load(answer), answer.headers


def check_links(root: str) -> None:
    """Follow the links of the alarms a-1 to a-3 at *root*, which serves below :data:`PREFIX` only."""
    for path in (FAULTS, IFA):
        url: str | None = f"{root}{PREFIX}{path}"
        found = []
        while url is not None:
            page, headers = get(url)
            found += [one.get("id") or one["alarmId"] for one in page]
            link = re.match("<(.*?)>", headers["Link"] or "")
            url = link[1] if link else None
        assert sorted(found) == ["a-1", "a-2", "a-3"]
    alarm, _ = get(f"{root}{PREFIX}{FAULTS}/a-1")
    assert alarm["_links"]["self"]["href"] == f"{root}{PREFIX}{FAULTS}/a-1"
    with pytest.raises(urllib.error.HTTPError) as missing:
        get(f"{root}{PREFIX}{FAULTS}/nothing")
    assert json.load(missing.value)["instance"] == f"{PREFIX}{FAULTS}/nothing"


def test_reports_of_monitors_are_still_accepted(ingest: IngestApi) -> None:
    assert ingest.post(report("compute.host.down", hostname="h", status="down")).status_code == 202
