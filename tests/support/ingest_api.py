"""The ingest API in this process, on a real transport; and reports as inspectors send them."""

from __future__ import annotations

import dataclasses
import datetime
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from aodh.notifier import rest
from falcon import testing
from oslo_config import cfg

from eventalarm import bus
from eventalarm import conf as options
from eventalarm.ingest import application
from eventalarm.model import InstanceStatus, MaintainedInstance, MaintenanceSession
from eventalarm.storage import database as storage
from eventalarm.storage.database import Database
from eventalarm.storage.maintenance_sessions import MaintenanceSessions

PROJECT = "project-a"

HOST_RULE = {
    "event_type": "compute.host.*",
    "query": [{"field": "traits.status", "value": "down"}],
    "clear": {"query": [{"field": "traits.status", "value": "up"}]},
    "group_by": ["hostname"],
}


def report(kind: str, at: datetime.datetime | None = None, **details: Any) -> dict[str, Any]:
    """Return a report in Doctor's form, without the object around it."""
    moment = at or datetime.datetime.now(datetime.UTC)
    return {"time": moment.isoformat(), "type": kind, "details": details}


def no_database() -> Database:
    raise AssertionError("nobody should have asked for the database")


class IngestApi:
    """A client of the API; *group* are options of ``[eventalarm]``, *overrides* those of its own group.

    ``credentials_key`` and ``signing_key`` are keys of the whole deployment.
    """

    def __init__(
        self,
        transport_url: str,
        database: Callable[[], Database] = no_database,
        group: dict[str, Any] | None = None,
        *,
        credentials_key: str = "",
        signing_key: str = "",
        **overrides: Any,
    ) -> None:
        conf = cfg.ConfigOpts()
        options.register_opts(conf)
        bus.get_transport(conf, "fake://")
        conf.register_opts(rest.OPTS)
        conf([], default_config_files=[])
        conf.set_override("allow_networks", ["127.0.0.0/8", "::1/128"], group="eventalarm_delivery")
        conf.set_override("credentials_key", credentials_key, group="eventalarm_ifa")
        conf.set_override("signing_key", signing_key, group="eventalarm_delivery")
        conf.set_override("transport_url", transport_url)
        for name, value in {"auth_mode": "noauth", **overrides}.items():
            conf.set_override(name, value, group="eventalarm_ingest")
        for name, value in (group or {}).items():
            conf.set_override(name, value, group="eventalarm")
        self.conf = conf
        self.transport = bus.get_transport(conf)
        self.app = application.build(conf, self.transport, database)
        self.client = testing.TestClient(self.app)

    def post(
        self, body: Any, path: str = "/v1/events", roles: str = "service", project: str = PROJECT
    ) -> testing.Result:
        """Post *body* (JSON, or bytes as they are) and return the answer."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        headers |= {"X-Project-Id": project, "X-User-Id": "u", "X-Roles": roles} if roles else {}
        return self.client.simulate_post(path, body=raw, headers=headers)

    def call(
        self, method: str, path: str, body: Any = None, *, project: str = "a", roles: str = "member,reader"
    ) -> testing.Result:
        headers = {"X-Project-Id": project, "X-User-Id": "u", "X-Roles": roles, "X-Auth-Token": "token-of-u"}
        return self.client.simulate_request(method, path, headers=headers, json=body)

    def close(self) -> None:
        """Close the connections."""
        self.transport.cleanup()


class SessionsApi(IngestApi):
    """The API on a database with one session of project ``a``, which the tool lets answer at *reply_url*."""

    def __init__(self, url: str, reply_url: str, **group: Any) -> None:
        self.database = storage.connect(url)
        super().__init__("fake://", lambda: self.database, **group)
        now = datetime.datetime.now(datetime.UTC)
        server = MaintainedInstance("vm-1", InstanceStatus.PLANNED, "PLANNED_MAINTENANCE", "m-1", now)
        session = MaintenanceSession("s-1", "a", "PLANNED_MAINTENANCE", "m-1", now, reply_url=reply_url)
        known = [("a", ("MIGRATE",)), ("b", ())]
        for project, actions in known:
            self.put(session, project_id=project, allowed_actions=actions, instances=(server,))

    def put(self, session: MaintenanceSession, **changes: Any) -> None:
        one = dataclasses.replace(session, **changes)
        MaintenanceSessions(self.database).update(one.session_id, lambda known: [one])


def send(url: str, body: Any, **headers: str) -> tuple[int, Any]:
    """Post JSON over a socket."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"} | headers
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as exc:
        return exc.code, json.load(exc)
