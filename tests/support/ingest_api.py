"""The ingest API in this process, on a real transport; and reports as inspectors send them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

from aodh.notifier import rest
from falcon import testing
from oslo_config import cfg

from eventalarm import bus
from eventalarm import conf as options
from eventalarm.ingest import application
from eventalarm.storage.database import Database

PROJECT = "project-a"


def report(kind: str, at: datetime.datetime | None = None, **details: Any) -> dict[str, Any]:
    """Return a report in Doctor's form, without the object around it."""
    moment = at or datetime.datetime.now(datetime.UTC)
    return {"time": moment.isoformat(), "type": kind, "details": details}


def no_database() -> Database:
    raise AssertionError("nobody should have asked for the database")


class IngestApi:
    """A client of the API; *group* are options of ``[eventalarm]``, *overrides* those of its own group."""

    def __init__(
        self,
        transport_url: str,
        database: Callable[[], Database] = no_database,
        group: dict[str, Any] | None = None,
        **overrides: Any,
    ) -> None:
        conf = cfg.ConfigOpts()
        options.register_opts(conf)
        bus.get_transport(conf, "fake://")
        conf.register_opts(rest.OPTS)
        conf([], default_config_files=[])
        conf.set_override("allow_networks", ["127.0.0.0/8", "::1/128"], group="eventalarm_delivery")
        conf.set_override("transport_url", transport_url)
        for name, value in {"auth_mode": "noauth", **overrides}.items():
            conf.set_override(name, value, group="eventalarm_ingest")
        for name, value in (group or {}).items():
            conf.set_override(name, value, group="eventalarm")
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

    def close(self) -> None:
        """Close the connections."""
        self.transport.cleanup()
