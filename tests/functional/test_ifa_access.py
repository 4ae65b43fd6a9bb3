"""The IFA API: acknowledgements, versions, methods, bodies, and what each role and project may do."""

from __future__ import annotations

from typing import Any

import pytest

from eventalarm.http.responses import encode_marker
from eventalarm.model import ALARM, object_alarm_id
from tests.support.builders import event_body
from tests.support.helpers import WebhookSink
from tests.support.ifa_api import (
    ADMIN,
    FAULTS,
    HISTORY,
    IFA,
    MERGE,
    NOW,
    RESOURCES,
    SUBSCRIPTIONS,
    IfaApi,
    bound,
    fault,
    ids,
    threshold,
)


def test_every_response_has_the_version(lite: IfaApi) -> None:
    for method, path, headers in (
        ("GET", FAULTS, {}),
        ("GET", f"{FAULTS}?filter=bad", {}),
        ("GET", f"{FAULTS}/nothing", {}),
        ("PUT", FAULTS, {}),
        ("GET", "/vnffm/v1/nothing", {}),
        ("GET", "/vnffm/api_versions", {}),
        ("GET", FAULTS, {"Version": "9.0.0"}),
        ("GET", FAULTS, {"Accept": "text/plain"}),
        ("GET", FAULTS, {"X-Project-Id": ""}),
    ):
        answer = lite.call(method, path, headers=headers)
        assert answer.headers["version"] == "1.3.0", (method, path, answer.status_code)
    assert lite.get(f"{FAULTS}/nothing", headers={"Version": "1.2.0"}).headers["version"] == "1.2.0"


def test_acknowledging(api: IfaApi) -> None:
    alarm_id = api.alarm(bound("vm-1"), ok_actions=["http://ok"])
    api.engine.process(fault("vm-1"))
    path, acknowledged = f"{FAULTS}/{alarm_id}", {"ackState": "ACKNOWLEDGED"}
    tag = api.get(path).headers["etag"]
    for wrong in ('"0"', tag.strip('"'), f"W/{tag}"):
        answer = api.call("PATCH", path, body=acknowledged, headers={**MERGE, "If-Match": wrong})
        assert answer.status_code == 412
    answer = api.call("PATCH", path, body=acknowledged, headers={**MERGE, "If-Match": tag})
    assert (answer.status_code, answer.json) == (200, acknowledged)
    again = {**MERGE, "If-Match": tag}
    assert api.call("PATCH", path, body=acknowledged, headers=again).status_code == 412
    again = {**MERGE, "If-Match": answer.headers["etag"]}
    assert api.call("PATCH", path, body=acknowledged, headers=again).status_code == 409
    shown = api.get(path)
    assert (shown.json["ackState"], "alarmAcknowledgedTime" in shown.json) == ("ACKNOWLEDGED", True)
    assert shown.headers["etag"] == answer.headers["etag"]
    back = {"ackState": "UNACKNOWLEDGED"}
    assert api.call("PATCH", path, body=back, headers=MERGE).status_code == 200
    assert api.call("PATCH", path, body=acknowledged, headers=MERGE).status_code == 200
    api.engine.process(fault("vm-1", state="active"), fault("vm-1"))
    assert api.get(path).json["ackState"] == "UNACKNOWLEDGED"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("{", MERGE, 400),
        ({"ackState": "MAYBE"}, MERGE, 422),
        ({}, MERGE, 422),
        ([], MERGE, 422),
        ({"ackState": "ACKNOWLEDGED"}, {"Content-Type": "text/plain"}, 415),
        ("x" * 70_000, MERGE, 413),
    ],
)
def test_bodies_that_are_refused(lite: IfaApi, body: Any, headers: Any, status: int) -> None:
    alarm_id = lite.alarm(bound("vm-1"))
    lite.engine.process(fault("vm-1"))
    answer = lite.call("PATCH", f"{FAULTS}/{alarm_id}", body=body, headers=headers)
    assert answer.status_code == status


def test_versions_and_what_is_accepted(lite: IfaApi) -> None:
    assert lite.get("/vnffm/api_versions", project="").json["apiVersions"]
    assert lite.get("/vnffm/v1/api_versions").json["uriPrefix"].endswith("/vnffm/v1/")
    assert lite.get(FAULTS).headers["version"] == "1.3.0"
    assert lite.get(FAULTS, headers={"Version": "1.2.0-impl:x:1"}).headers["version"] == "1.2.0"
    assert lite.get(FAULTS, headers={"Version": "9.0.0"}).status_code == 406
    assert lite.get(FAULTS, headers={"Version": "latest"}).status_code == 400
    assert lite.get(FAULTS, headers={"Accept": "text/html"}).status_code == 406
    strict = IfaApi(lite.database, require_version=True)
    assert strict.get(FAULTS).status_code == 400
    assert strict.get("/vnffm/v1/api_versions").status_code == 200
    assert lite.get(f"{FAULTS}?filter={'x' * 9000}").status_code == 414
    assert lite.get("/vnffm/v1/nothing").status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", [FAULTS, IFA, "/vnffm/api_versions", "/vnffm/v1/api_versions"])
def test_other_methods_are_405_before_anything_else(lite: IfaApi, method: str, path: str) -> None:
    headers = {"Content-Type": "application/json", "Version": "9.9.9"}
    assert lite.call(method, path, headers=headers).status_code == 405


def test_tenants_never_see_each_other(api: IfaApi, webhook_sink: WebhookSink) -> None:
    webhook_sink.behave("/cb", statuses=[204])
    theirs = api.alarm(bound("vm-1"), project_id="project-b")
    api.engine.process(fault("vm-1", project_id="project-b") | {})
    body = event_body(project="project-b", instance_id="vm-1", state="error", generated=NOW.isoformat())
    api.engine.process(body)
    stock = threshold(api, "stock-b", ALARM, project_id="project-b")
    made = api.call("POST", SUBSCRIPTIONS, project="project-b", body={"callbackUri": webhook_sink.url("/cb")})
    subscription_id = made.json["id"]
    assert len(api.get(IFA, project="project-b").json) == 2
    for path in (
        IFA,
        FAULTS,
        SUBSCRIPTIONS,
        f"{IFA}?managed_object=vm-1",
        f"{FAULTS}?filter=(eq,id,{theirs})",
    ):
        assert api.pages(path) == []
    for one in (theirs, stock, object_alarm_id(theirs, "vm-1")):
        for path in (f"{IFA}/{one}", f"{IFA}/{one}/history", f"{FAULTS}/{one}"):
            answer = api.get(path)
            assert (answer.status_code, answer.headers.get("etag")) == (404, None)
        patch = api.call("PATCH", f"{FAULTS}/{one}", body={"ackState": "ACKNOWLEDGED"}, headers=MERGE)
        assert patch.status_code == 404
    for method in ("GET", "DELETE"):
        assert api.call(method, f"{SUBSCRIPTIONS}/{subscription_id}").status_code == 404
    assert api.get(f"{SUBSCRIPTIONS}/{subscription_id}", project="project-b").status_code == 200
    for path in (IFA, FAULTS, SUBSCRIPTIONS):
        assert api.get(path, all_projects="true").status_code == 403
        assert len(api.get(path, all_projects="true", roles=ADMIN).json) >= 1
    assert api.get(f"{FAULTS}/{theirs}", roles=ADMIN).status_code == 200
    assert ids(api.get(IFA, roles=ADMIN).json) == []


def test_roles(lite: IfaApi) -> None:
    alarm_id = lite.alarm(bound("vm-1"))
    lite.engine.process(fault("vm-1"))
    assert lite.get(IFA, roles="").status_code == 403
    assert lite.get(IFA, roles="reader").status_code == 200
    patch = lite.call(
        "PATCH", f"{FAULTS}/{alarm_id}", body={"ackState": "ACKNOWLEDGED"}, headers=MERGE, roles="reader"
    )
    assert patch.status_code == 403
    answer = lite.get(IFA, project="")
    assert (answer.status_code, "www-authenticate" in answer.headers) == (401, True)


def test_text_that_databases_refuse_is_refused_with_400(api: IfaApi) -> None:
    hosts = "/ifa/v1/physical-resources"
    for path in (
        *(f"{listing}/a%00b" for listing in (IFA, FAULTS, RESOURCES, hosts)),
        f"{IFA}?managed_object=a%00b",
        f"{FAULTS}?filter=(eq,id,a%00b)",
    ):
        assert api.get(path, roles=ADMIN).status_code == 400, path
    for text in ("\x00", "\ud800"):
        place = [NOW.isoformat(), text]
        for path, marker in (
            (IFA, [2, text]),
            (RESOURCES, [0, place]),
            (HISTORY, [[place, place], 0, NOW.isoformat()]),
            (hosts, text),
        ):
            answer = api.get(path, nextpage_opaque_marker=encode_marker(marker), roles=ADMIN)
            assert answer.status_code == 400, path
