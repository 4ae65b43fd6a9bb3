"""No GET of the IFA API and of the ingest API writes to the database."""

from __future__ import annotations

import contextlib
import datetime
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.http import openapi
from eventalarm.ingest import application as ingest_application
from eventalarm.model import UTC, Resource, ResourceKind
from eventalarm.storage import database as storage
from eventalarm.storage.resource_map import ResourceMap
from tests.functional.test_recorded_events import event_row
from tests.functional.test_recorded_events import put as put_events
from tests.support.builders import PROJECT, rule
from tests.support.delivery_rows import delivery_row, put
from tests.support.engine_harness import alarm_row, insert_alarms
from tests.support.helpers import WebhookSink
from tests.support.ifa_api import ADMIN, DOCUMENT
from tests.support.ingest_api import SessionsApi
from tests.support.listening import listening
from tests.support.signing import new_key
from tests.support.subscribers import World, bound, fault

READS = ("SELECT", "WITH", "PRAGMA", "BEGIN", "EXPLAIN")


def paths(document: Any) -> list[str]:
    """Return the paths of an OpenAPI document that have a GET."""
    return [path for path, item in document["paths"].items() if "get" in item]


@pytest.fixture
def world(our_sqlite_url: str, webhook_sink: WebhookSink) -> Iterator[World]:
    database = storage.connect(our_sqlite_url)
    made = World(database, webhook_sink, subscription_lifetime=1.0)
    with listening(made.api.conf, database) as made.listener:
        yield made
    database.dispose()


@contextlib.contextmanager
def only_reads() -> Iterator[None]:
    """Fail if this thread has a statement executed that writes, or none at all."""
    statements: list[str] = []
    caller = threading.get_ident()

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        # The listener writes in its own threads; the API answers in this one.
        if threading.get_ident() == caller:
            statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert statements
    assert [one for one in statements if not one.lstrip().upper().startswith(READS)] == []


def test_no_get_of_the_ifa_api_writes(world: World) -> None:
    subscription_id = world.subscribe("/all")
    world.api.alarm(bound("vm-1"))
    world.listener.process(fault("vm-1"))
    (alarm,) = world.api.pages("/ifa/v1/alarms")
    now = datetime.datetime.now(UTC)
    server = Resource(ResourceKind.SERVER, "vm-1", now, project_id=PROJECT, host="compute-1", host_at=now)
    ResourceMap(world.database).apply([server])
    names = {
        "{alarmId}": alarm["alarmId"],
        "{subscriptionId}": subscription_id,
        "{managedObjectId}": "vm-1",
        "{host}": "compute-1",
    }
    with only_reads():
        for path in paths(DOCUMENT):
            url = re.sub(r"\{\w+\}", lambda found: names[found[0]], path)
            assert world.api.get(url, roles=ADMIN).status_code == 200, url


def test_no_get_of_the_ingest_api_writes(our_sqlite_url: str) -> None:
    api = SessionsApi(our_sqlite_url, "http://192.0.2.1/tool", credentials_key=new_key())
    begin = {"state": "IN_MAINTENANCE"}
    assert api.call("POST", "/v1/secret", roles="admin").status_code == 201
    assert api.call("PUT", "/v1/hosts/compute-1/maintenance", begin, roles="admin").status_code == 200
    (delivery_id,) = put(api.database, [delivery_row("p", 1)])
    (event_id,) = put_events(api.database, [event_row("p", 1)])
    insert_alarms(api.database, alarm_row("a", project_id="p", rule=rule("e")))
    names = {
        "{session_id}": "s-1",
        "{host}": "compute-1",
        "{delivery_id}": delivery_id,
        "{event_id}": event_id,
        "/explain": "/explain?alarm_id=a",
    }
    try:
        with only_reads():
            for path in paths(openapi.load(ingest_application.DOCUMENT_FILE)):
                url = re.sub(r"\{\w+\}|/explain$", lambda found: names[found[0]], path)
                assert api.call("GET", url, roles="admin").status_code == 200, url
    finally:
        api.close()
        api.database.dispose()
