"""The IFA API on a real database, each response is checked against the API's document."""

from __future__ import annotations

import datetime
import json
import re
import urllib.parse
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jsonschema
import sqlalchemy as sa
from aodh.notifier import rest
from falcon import testing
from oslo_config import cfg

from eventalarm import conf as options
from eventalarm.http import openapi
from eventalarm.ifa_shim.api import application
from eventalarm.model import UTC
from eventalarm.storage import tables
from eventalarm.storage.database import Database
from tests.support.builders import PROJECT, event_body, rule
from tests.support.engine_harness import EngineHarness, alarm_row, insert_alarms

DOCUMENT = openapi.load(application.DOCUMENT_FILE)
PROBLEM = "application/problem+json"
ADMIN = "admin,member,reader"
IFA = "/ifa/v1/alarms"
FAULTS = "/vnffm/v1/alarms"
HISTORY = "/ifa/v1/history"
RESOURCES = "/ifa/v1/resources"
SUBSCRIPTIONS = "/vnffm/v1/subscriptions"
MERGE = {"Content-Type": "application/merge-patch+json"}
THRESHOLD = {"metric": "cpu_util", "resource_type": "instance", "resource_id": "vm-t"}
NOW = datetime.datetime.now(UTC)
HOUR = datetime.timedelta(hours=1)


def _operation(path: str, method: str) -> Mapping[str, Any] | None:
    for template, item in DOCUMENT["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if re.fullmatch(pattern, path):
            found: Mapping[str, Any] | None = item.get(method.lower())
            return found
    return None


def _resolve(node: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in node:
        found: Any = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return dict(found)
    return node


def check(path: str, method: str, answer: testing.Result) -> None:
    """Fail unless the document describes *answer*."""
    operation = _operation(path, method)
    if operation is None:
        assert answer.status_code in (404, 405), answer.text
        responses: Any = {"default": {"$ref": "#/components/responses/Problem"}}
    else:
        responses = operation["responses"]
    response = _resolve(responses.get(str(answer.status_code)) or responses["default"])
    assert str(answer.status_code) in responses or answer.status_code >= 400, answer.text
    if "content" not in response:
        assert answer.text == ""
        return
    ((media_type, content),) = response["content"].items()
    assert answer.headers["content-type"].startswith(media_type)
    root = {**content["schema"], "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(root, format_checker=jsonschema.FormatChecker()).validate(answer.json)
    if answer.status_code >= 400:
        assert answer.json["status"] == answer.status_code


def _plain(app: Any) -> Any:
    """Return *app* as a function: falcon inspects signatures, which objects of oslo.middleware lack."""

    def call(environ: Any, start_response: Any) -> Any:
        return app(environ, start_response)

    return call


class IfaApi:
    """A client of the API, and the cloud behind it: alarms, events, and edits by users."""

    def __init__(
        self, database: Database, *, aodh: Mapping[str, Any] = MappingProxyType({}), **overrides: Any
    ) -> None:
        """*overrides* are options of the group ``[eventalarm_ifa]``, *aodh* those of Aodh's own group."""
        conf = cfg.ConfigOpts()
        options.register_opts(conf)
        conf.register_opts(rest.OPTS)
        conf([], default_config_files=[])
        for name, value in aodh.items():
            conf.set_override(name, value)
        settings = {"auth_mode": "noauth", "callback_deny_networks": [], **overrides}
        conf.set_override("allow_networks", ["127.0.0.0/8", "::1/128"], group="eventalarm_delivery")
        for name, value in settings.items():
            conf.set_override(name, value, group="eventalarm_ifa")
        self.conf = conf
        self.database = database
        app = application.application(conf, database)
        self.client = testing.TestClient(_plain(app))
        self.engine = EngineHarness(database)

    def call(
        self,
        method: str,
        path: str,
        *,
        project: str = PROJECT,
        roles: str = "member,reader",
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        **params: Any,
    ) -> testing.Result:
        """Return the checked answer; ``params`` are those of the query."""
        who = {"X-Project-Id": project, "X-User-Id": f"user of {project}", "X-Roles": roles}
        if body is not None:
            who.setdefault("Content-Type", "application/json")
        bare, _, query = path.partition("?")
        encoded = urllib.parse.urlencode(params, doseq=True, quote_via=urllib.parse.quote)
        answer = self.client.simulate_request(
            method,
            bare,
            headers={**who, **(headers or {})},
            body=None if body is None else (body if isinstance(body, str) else json.dumps(body)),
            query_string="&".join(filter(None, [query, encoded])),
        )
        check(bare, method, answer)
        return answer

    def get(self, path: str, **how: Any) -> testing.Result:
        """GET *path*."""
        return self.call("GET", path, **how)

    def pages(self, path: str, **how: Any) -> list[Any]:
        """Return the entries of all pages of a listing."""
        found: list[Any] = []
        seen = 0
        answer = self.get(path, **how)
        how = {name: how[name] for name in ("project", "roles", "headers") if name in how}
        while True:
            assert answer.status_code == 200, answer.text
            found += answer.json
            seen += 1
            link = answer.headers.get("link")
            if link is None:
                return found
            assert seen < 200
            match = re.fullmatch(r'<https?://[^/]+(/\S+)>; rel="next"', link)
            assert match is not None
            answer = self.get(match[1], **how)

    def alarm(self, rule: Any, alarm_id: str = "", **columns: Any) -> str:
        """Put an alarm into Aodh's table and return its id."""
        row = alarm_row(alarm_id, rule=rule, **{"project_id": PROJECT, **columns})
        insert_alarms(self.database, row)
        return str(row["alarm_id"])

    def write_state(
        self, connection: sa.Connection, alarm_id: str, state: str, at: datetime.datetime
    ) -> None:
        """Write what a stock evaluator writes when an alarm changes its state."""
        change = sa.update(tables.alarm).where(tables.alarm.c.alarm_id == alarm_id)
        connection.execute(change.values(state=state, state_reason=f"now {state}"))
        record = {
            "event_id": f"{alarm_id}-{at.timestamp()}",
            "alarm_id": alarm_id,
            "type": "state transition",
            "detail": json.dumps({"state": state, "transition_reason": f"now {state}"}),
            "timestamp": at,
            "project_id": PROJECT,
            "on_behalf_of": PROJECT,
        }
        connection.execute(sa.insert(tables.alarm_history), record)

    def put(self, alarm_id: str, **columns: Any) -> None:
        """Change Aodh's row of an alarm, as its API would."""
        with self.database.engine.begin() as connection:
            change = sa.update(tables.alarm).where(tables.alarm.c.alarm_id == alarm_id)
            connection.execute(change.values(**columns))

    def delete(self, alarm_id: str) -> None:
        """Delete an alarm with its history, as Aodh's API does."""
        with self.database.engine.begin() as connection:
            for table in (tables.alarm_history, tables.alarm):
                connection.execute(sa.delete(table).where(table.c.alarm_id == alarm_id))

    def record(self, alarm_id: str, kind: str, detail: Any, at: datetime.datetime, **fields: Any) -> None:
        """Add a record to Aodh's history."""
        values = {
            "event_id": f"{alarm_id}-{at.timestamp()}-{kind}",
            "alarm_id": alarm_id,
            "type": kind,
            "detail": json.dumps(detail),
            "timestamp": at,
            "project_id": PROJECT,
            "on_behalf_of": PROJECT,
            **fields,
        }
        with self.database.engine.begin() as connection:
            connection.execute(sa.insert(tables.alarm_history), values)


def fault(server: str, **traits: Any) -> dict[str, Any]:
    generated = datetime.datetime.now(UTC).replace(tzinfo=None).isoformat()
    return event_body(instance_id=server, generated=generated, **{"state": "error", **traits})


def bound(server: str) -> dict[str, Any]:
    return rule(instance_id=server, state="error")


def ids(answer: Any, name: str = "id") -> list[str]:
    return [alarm[name] for alarm in answer]


def threshold(api: IfaApi, alarm_id: str, *states: str, **columns: Any) -> str:
    columns = {"type": "gnocchi_resources_threshold", "state": states[-1], **columns}
    api.alarm(THRESHOLD | {"resource_id": f"of-{alarm_id}"}, alarm_id, **columns)
    for number, state in enumerate(states):
        at = NOW - HOUR + datetime.timedelta(minutes=number)
        api.record(alarm_id, "state transition", {"state": state, "transition_reason": "x"}, at)
    return alarm_id
