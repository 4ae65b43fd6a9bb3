"""A small real cloud: Aodh's API, our listeners, a bus and a database, each in its own process."""

from __future__ import annotations

import datetime
import pathlib
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from aodh.storage.sqlalchemy import models
from aodhclient import noauth
from aodhclient.v2 import client as aodh_client
from keystoneauth1 import session as keystone_session

from eventalarm import bus, service
from eventalarm.trial.own_cloud.programs.configuration import aodh_config
from eventalarm.trial.own_cloud.programs.processes import Process, console_script, wait_until

PROJECT, USER = "project-1", "user-1"
INSTANCE = "traits.instance_id"
# The module of the program that serves Aodh's API.
AODH_API = "eventalarm.trial.own_cloud.programs.aodh_api"
Spawn = Callable[..., Process]


def client_for(url: str, project: str = PROJECT, roles: str = "member,reader") -> Any:
    """Return an aodhclient for *project* that talks to an API without Keystone."""
    auth = noauth.AodhNoAuthPlugin(user_id=USER, project_id=project, roles=roles, endpoint=url)
    return aodh_client.Client(keystone_session.Session(auth=auth))


def make_event(
    instance: str = "vm-1",
    state: str = "error",
    *,
    project: str = PROJECT,
    generated: datetime.datetime | None = None,
    message_id: str = "",
    event_type: str = "compute.instance.update",
    **traits: Any,
) -> dict[str, Any]:
    """Return a Ceilometer event as publishers send it."""
    moment = generated or datetime.datetime.now(datetime.UTC)
    values = {
        "project_id": project,
        "instance_id": instance,
        "resource_id": instance,
        "state": state,
        **traits,
    }
    return {
        "message_id": message_id or str(uuid.uuid4()),
        "event_type": event_type,
        "generated": moment.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(),
        "traits": [[name, 1, value] for name, value in values.items()],
        "raw": {},
        "message_signature": "",
    }


class Cloud:
    """One test's cloud. ``sections`` are options of the shared ``aodh.conf``."""

    def __init__(
        self,
        spawn: Spawn,
        tmp_path: pathlib.Path,
        database_url: str,
        transport_url: str,
        **sections: Mapping[str, Any],
    ) -> None:
        self._spawn = spawn
        self.database_url = database_url
        noauth_api = {"auth_mode": "noauth"}
        self.conf_path = aodh_config(tmp_path, database_url, transport_url, api=noauth_api, **sections)
        self.conf = service.prepare(
            ["--config-file", str(self.conf_path)], prog="test", description="", epilog=""
        )
        self._transport: Any = None
        self.database = service.database(self.conf)
        self.api_url = ""

    def dbsync(self) -> None:
        """Create our tables with ``eventalarm-dbsync``."""
        done = self._spawn([console_script("eventalarm-dbsync"), "--config-file", self.conf_path])
        assert done.wait() == 0, done.text()

    def start_api(self) -> None:
        """Start the real Aodh API."""
        process = self._spawn([sys.executable, "-m", AODH_API, "--config-file", self.conf_path])
        self.api_url = process.wait_for_log(r"serving (http://\S+)")[1]
        self._api = process

    def stop_api(self) -> None:
        """End the Aodh API; alarms created from now on are inserted."""
        self._api.kill()
        self.api_url = ""

    def start_listener(
        self,
        *arguments: str,
        wait: bool = True,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> Process:
        """Start one ``eventalarm-listener``; with *wait*, return when it takes messages.

        *prefix* are the words of a command that starts it in a changed environment.
        """
        command = [console_script("eventalarm-listener"), "--config-file", self.conf_path, *arguments]
        process = self._spawn([*prefix, *command], env=env)
        if wait:
            process.wait_for_log("Listening on topic")
        return process

    def client(self, project: str = PROJECT, roles: str = "member,reader") -> Any:
        """Return an aodhclient."""
        return client_for(self.api_url, project, roles)

    def create_alarm(
        self,
        actions: list[str] | None = None,
        *,
        instance: str = "vm-1",
        project: str = PROJECT,
        **fields: Any,
    ) -> str:
        """Create an alarm on the error state of *instance*, through the API if it runs; return its id."""
        query = [
            {"field": INSTANCE, "op": "eq", "type": "string", "value": instance},
            {"field": "traits.state", "op": "eq", "type": "string", "value": "error"},
        ]
        alarm = {
            "name": f"alarm of {instance}",
            "type": "event",
            "severity": "critical",
            "event_rule": {"event_type": "compute.instance.update", "query": query},
            "alarm_actions": actions or [],
            **fields,
        }
        if self.api_url:
            return str(self.client(project).alarm.create(alarm)["alarm_id"])
        return self._insert_alarm(alarm, project)

    def _insert_alarm(self, alarm: dict[str, Any], project: str) -> str:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        row = {
            "alarm_id": str(uuid.uuid4()),
            "enabled": True,
            "state": "insufficient data",
            "repeat_actions": False,
            "ok_actions": [],
            "insufficient_data_actions": [],
            "time_constraints": [],
            "user_id": USER,
            "project_id": project,
            "timestamp": now,
            "state_timestamp": now,
            "evaluate_timestamp": now,
            **alarm,
        }
        row["rule"] = row.pop("event_rule")
        with self.database.begin() as connection:
            connection.execute(models.Alarm.__table__.insert(), row)
        return str(row["alarm_id"])

    def publish(self, *events: Mapping[str, Any]) -> None:
        """Publish events in one message, as our publisher does."""
        if self._transport is None:
            self._transport = bus.get_transport(self.conf)
        group = self.conf.eventalarm
        bus.send(
            self._transport,
            topic=group.topic,
            exchange=group.exchange,
            event_type="event",
            payload=list(events),
        )

    def rows(self, query: str, **values: Any) -> list[Mapping[str, Any]]:
        """Return the rows of a query."""
        with self.database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(sa.text(query), values)]

    def transitions(self, alarm_id: str) -> list[Mapping[str, Any]]:
        """Return the transitions of an alarm, oldest first."""
        return self.rows(
            "SELECT * FROM eventalarm_transition WHERE alarm_id = :id"
            " ORDER BY recorded_at, event_time, transition_id",
            id=alarm_id,
        )

    def state(self, alarm_id: str) -> str:
        """Return the state that the database holds for an alarm."""
        return str(self.rows("SELECT state FROM alarm WHERE alarm_id = :id", id=alarm_id)[0]["state"])

    def wait_for_state(self, alarm_id: str, state: str, timeout: float = 30.0) -> None:
        """Wait until an alarm is in *state*."""
        wait_until(lambda: self.state(alarm_id) == state, timeout, f"{alarm_id} in {state}")

    def settle(self, timeout: float = 60.0) -> None:
        """Wait until no delivery is unfinished."""
        query = "SELECT count(*) AS n FROM eventalarm_delivery WHERE state IN ('pending', 'leased')"
        wait_until(lambda: self.rows(query)[0]["n"] == 0, timeout, "all deliveries finished")

    def close(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            self._transport.cleanup()
        self.database.dispose()
