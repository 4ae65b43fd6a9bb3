"""No GET of the IFA API and of the ingest API writes to the database."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from eventalarm.http import openapi
from eventalarm.ingest import application as ingest_application
from eventalarm.storage import database as storage
from tests.support.helpers import WebhookSink
from tests.support.ifa_api import DOCUMENT
from tests.support.listening import listening
from tests.support.subscribers import World, bound, fault

READS = ("SELECT", "WITH", "PRAGMA", "BEGIN", "EXPLAIN")
PATHS = [path for path, item in DOCUMENT["paths"].items() if "get" in item]


@pytest.fixture
def world(our_sqlite_url: str, webhook_sink: WebhookSink) -> Iterator[World]:
    database = storage.connect(our_sqlite_url)
    made = World(database, webhook_sink, subscription_lifetime=1.0)
    with listening(made.api.conf, database) as made.listener:
        yield made
    database.dispose()


def test_no_get_writes(world: World) -> None:
    subscription_id = world.subscribe("/all")
    world.api.alarm(bound("vm-1"))
    world.listener.process(fault("vm-1"))
    (alarm,) = world.api.pages("/ifa/v1/alarms")
    statements: list[str] = []
    caller = threading.get_ident()

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        # The listener writes in its own threads; the API answers in this one.
        if threading.get_ident() == caller:
            statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        for path in PATHS:
            url = path.replace("{alarmId}", alarm["alarmId"]).replace("{subscriptionId}", subscription_id)
            assert world.api.get(url).status_code == 200, url
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert statements
    assert [one for one in statements if not one.lstrip().upper().startswith(READS)] == []


def test_the_ingest_api_has_no_get_but_its_document() -> None:
    document = openapi.load(ingest_application.DOCUMENT_FILE)
    assert [path for path, item in document["paths"].items() if "get" in item] == ["/v1/openapi.json"]
