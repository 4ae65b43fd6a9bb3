"""The ingest API about planned maintenance: what projects see and answer, and hosts without an admin tool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.helpers import WebhookSink
from tests.support.ingest_api import SessionsApi

ANSWER = {"state": "ACK_PLANNED_MAINTENANCE", "instance_actions": {"vm-1": "MIGRATE"}}


@pytest.fixture
def sessions(our_sqlite_url: str, webhook_sink: WebhookSink) -> Iterator[SessionsApi]:
    one = SessionsApi(our_sqlite_url, webhook_sink.url("/tool"))
    yield one
    one.close()
    one.database.dispose()


def test_projects_see_and_answer_their_own_sessions(sessions: SessionsApi, webhook_sink: WebhookSink) -> None:
    """Red when the project of a session is not compared, or a reader may answer."""
    path = "/v1/maintenance/s-1"
    assert [one["project_id"] for one in sessions.call("GET", "/v1/maintenance").json] == ["a"]
    everything = sessions.call("GET", "/v1/maintenance?all_projects=true", roles="admin").json
    assert [one["project_id"] for one in everything] == ["a", "b"]
    assert sessions.call("GET", path).json["project_id"] == "a"
    assert sessions.call("GET", path, project="c").status_code == 404
    for method, rest, body in (("GET", "", None), ("PUT", "/answer", ANSWER)):
        answer = sessions.call(method, f"{path}{rest}?project_id=b", body)
        assert answer.status_code == 403, answer.text
    assert sessions.call("GET", "/v1/maintenance?all_projects=true").status_code == 403
    assert sessions.call("PUT", f"{path}/answer", ANSWER, roles="reader").status_code == 403
    assert sessions.call("PUT", f"{path}/answer", ANSWER, project="c").status_code == 404
    for method in ("GET", "PUT", "DELETE"):
        begin = {"state": "IN_MAINTENANCE"} if method == "PUT" else None
        assert sessions.call(method, "/v1/hosts/c0/maintenance", begin).status_code == 403
    assert webhook_sink.requests == []
    answered = sessions.call("PUT", f"{path}/answer?project_id=b", ANSWER, roles="admin").json
    assert (answered["project_id"], answered["answered"]) == ("b", True)
    assert not sessions.call("GET", path).json["answered"]


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "", "'state' is a required property"),
        ({"state": "ACK_MAINTENANCE"}, "/state", "use ACK_PLANNED_MAINTENANCE or NACK_PLANNED_MAINTENANCE"),
        ({"state": "ACK_PLANNED_MAINTENANCE"}, "/instance_actions", "use MIGRATE"),
        ({**ANSWER, "instance_actions": {"vm-1": "DELETE"}}, "/instance_actions/vm-1", "use MIGRATE"),
        ({**ANSWER, "instances": []}, "", "'instances' was unexpected"),
    ],
)
def test_an_answer_that_the_tool_cannot_read_is_not_sent(
    sessions: SessionsApi, webhook_sink: WebhookSink, body: Any, field: str, words: str
) -> None:
    answer = sessions.call("PUT", "/v1/maintenance/s-1/answer", body)
    assert answer.status_code == 400
    first = answer.json["errors"][0]
    assert first["field"] == field
    assert words in f"{first['problem']}; {first['remedy']}"
    assert webhook_sink.requests == []


def test_an_answer_counts_once_the_tool_has_accepted_it(
    sessions: SessionsApi, webhook_sink: WebhookSink
) -> None:
    path = "/v1/maintenance/s-1/answer"
    webhook_sink.behave("/tool", statuses=[500, 302, 200], headers={"Location": webhook_sink.url("/other")})
    for problem in ("500", "302"):
        refused = sessions.call("PUT", path, ANSWER)
        assert (refused.status_code, problem in refused.json["detail"]) == (502, True), refused.text
        assert not sessions.call("GET", "/v1/maintenance/s-1").json["answered"]
    accepted = sessions.call("PUT", path, ANSWER).json
    assert accepted["answered"]
    assert [(one["state"], one["user_id"], one["status"]) for one in accepted["answers"]] == [
        ("ACK_PLANNED_MAINTENANCE", "u", 200)
    ]
    assert {"x-auth-token"} & {name.lower() for one in webhook_sink.requests for name in one.headers} == set()
    assert webhook_sink.at("/other") == []


@pytest.mark.parametrize(
    ("group", "status", "token"),
    [
        ({"maintenance_token_hosts": ["127.0.0.1"]}, 200, "token-of-u"),
        ({"maintenance_token_hosts": ["fenix.example.com"]}, 200, None),
    ],
)
def test_only_listed_hosts_receive_the_token(
    our_sqlite_url: str, webhook_sink: WebhookSink, group: dict[str, Any], status: int, token: str | None
) -> None:
    api = SessionsApi(our_sqlite_url, webhook_sink.url("/tool"), **group)
    assert api.call("PUT", "/v1/maintenance/s-1/answer", ANSWER).status_code == status
    (sent,) = webhook_sink.at("/tool")
    assert sent.headers.get("X-Auth-Token") == token
    api.close()
    api.database.dispose()


def test_an_answer_does_not_reach_denied_networks(our_sqlite_url: str) -> None:
    api = SessionsApi(our_sqlite_url, "http://169.254.169.254/latest")
    answer = api.call("PUT", "/v1/maintenance/s-1/answer", ANSWER)
    assert (answer.status_code, "deny_networks" in answer.json["detail"]) == (502, True)
    api.close()
    api.database.dispose()


def test_a_host_without_servers_is_accepted_with_a_warning(sessions: SessionsApi) -> None:
    path = "/v1/hosts/compute-0/maintenance"
    answer = sessions.call("PUT", path, {"state": "IN_MAINTENANCE"}, roles="admin").json
    assert "is 'compute-0' its name in Nova?" in answer["warnings"][0]
    assert sessions.call("GET", path, roles="admin").json["session_id"] == answer["session_id"]
    bad = {"state": "IN_MAINTENANCE", "starts_at": "2026-11-21", "ends_at": "2026-11-20"}
    refused = sessions.call("PUT", path, bad, roles="admin")
    assert refused.json["errors"][0]["field"] == "/ends_at"
    assert sessions.call("DELETE", path, roles="admin").json["state"] == "MAINTENANCE_COMPLETE"
    assert sessions.call("DELETE", path, roles="admin").status_code == 404
