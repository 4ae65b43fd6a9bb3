"""The server ends sessions that are idle for its ``wait_timeout``, whose value is read on MySQL."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import pathlib
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from tests.support.cloud import PROJECT, Cloud, Spawn, make_event
from tests.support.helpers import WebhookSink, console_script, wait_until

# Seconds: three longer than a connection may idle before it is pinged. A process that is suspended for so
# long between that decision and its statement finds its session ended, with any driver.
WAIT = 4
CALLER = {"X-Project-Id": PROJECT, "X-User-Id": "u", "X-Roles": "reader"}


class Server:
    """The server, queried in sessions that end at once."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)

    def ask(self, statement: str) -> set[int]:
        """Return the first column of what *statement* finds."""
        with self._engine.connect() as connection:
            result = connection.exec_driver_sql(statement)
            return set(result.scalars()) if result.returns_rows else set()

    def sessions(self) -> set[int]:
        """Return all other sessions on this database."""
        query = "SELECT id FROM information_schema.processlist WHERE db = DATABASE()"
        return self.ask(f"{query} AND id <> CONNECTION_ID()")

    @contextlib.contextmanager
    def ending_idle_sessions(self) -> Iterator[None]:
        """Make sessions that begin in the block end after :data:`WAIT` idle seconds."""
        (usual,) = self.ask("SELECT @@global.wait_timeout")
        self.ask(f"SET GLOBAL wait_timeout = {WAIT}")
        try:
            yield
        finally:
            self.ask(f"SET GLOBAL wait_timeout = {usual}")


def alarms(root: str) -> list[str]:
    """Return the ids of the alarms in the IFA API, at the first call."""
    with urllib.request.urlopen(urllib.request.Request(f"{root}/ifa/v1/alarms", headers=CALLER)) as answer:
        return [alarm["alarmId"] for alarm in json.load(answer)]


@pytest.mark.parametrize("mysqlclient", [True, False] if importlib.util.find_spec("MySQLdb") else [False])
def test_sessions_that_the_server_ended_are_replaced_unnoticed(
    our_mariadb_url: str,
    rabbit_url: str,
    spawn: Spawn,
    tmp_path: pathlib.Path,
    webhook_sink: WebhookSink,
    mysqlclient: bool,
) -> None:
    """Listener, timers and API continue without an error; fails without the ping of the pool."""
    server = Server(our_mariadb_url)
    cloud = Cloud(
        spawn,
        tmp_path,
        our_mariadb_url,
        rabbit_url,
        eventalarm={"mysqlclient": mysqlclient},
        eventalarm_ifa={"auth_mode": "noauth", "port": 0},
    )
    query = [{"field": "traits.state", "value": "error"}]
    rule = {"event_type": "*", "query": query, "resource_id": "vm-1", "clear_after": 1.0}
    timed: dict[str, Any] = {
        "type": "notification",
        "event_rule": rule,
        "ok_actions": [webhook_sink.url("/ok")],
    }
    alarm = cloud.create_alarm([webhook_sink.url("/alarm")], **timed)
    standing = cloud.create_alarm(instance="vm-2")
    with server.ending_idle_sessions():
        listener = cloud.start_listener()
        api = spawn([console_script("eventalarm-ifa-api"), "--config-file", cloud.conf_path])
        root = api.wait_for_log(r"Serving on (http://\S+)")[1]
        cloud.publish(make_event(), make_event("vm-2"))
        webhook_sink.wait(1, "/ok")
        assert alarms(root) == [standing]
        cloud.database.dispose()
        # All idle sessions have now been ended: those of the API, and of the threads that wait for events.
        before = server.sessions()
        wait_until(lambda: len(before - server.sessions()) >= 2, what="the server ended sessions")
        assert alarms(root) == [standing]
        cloud.publish(make_event())
        webhook_sink.wait(2, "/ok")
        assert [t["kind"] for t in cloud.transitions(alarm)] == ["raised", "cleared", "raised", "cleared"]
        for process in (listener, api):
            assert "the database failed" not in process.text()
            assert "Exception during reset" not in process.text()
    cloud.close()
