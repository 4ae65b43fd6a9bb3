"""The page about operational events, command by command, as a tenant whose webhook fails."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Iterator

import pytest

from eventalarm.app.build import build_cache
from eventalarm.delivery.enqueue import NoWorker, OutboxEnqueuer
from eventalarm.delivery.loops import OWN_DESTINATION
from eventalarm.metrics import Metrics
from eventalarm.model import JSONDict, OperationalEvent, OperationalType
from eventalarm.operational.events import body_of
from eventalarm.operational.reporter import LEASE, LEASE_NAME, OperationalReporter
from eventalarm.storage import tables
from eventalarm.storage.database import Database
from eventalarm.storage.leases import LeaderLease
from eventalarm.storage.operational_events import OperationalEvents
from eventalarm.storage.outbox import Outbox
from tests.support.deliveries import sender_options
from tests.support.engine_harness import (
    EngineHarness,
    alarm_row,
    insert_alarms,
    open_database,
    read_table,
    transitions,
)
from tests.support.helpers import WebhookSink
from tests.support.standalone import Standalone, notification, running
from tests.support.walkthrough import blocks, run_here, tenant

PAGE = pathlib.Path(__file__).parents[2] / "doc" / "source" / "user" / "operational-events.rst"
OPTIONS = """\
[eventalarm_delivery]
circuit_failures = 2
circuit_probe_initial = 0.05
circuit_probe_max = 0.1
retry_initial = 0.05
retry_max = 0.1
poll_interval = 0.1
"""


def test_another_webhook_of_the_tenant_receives_that_one_fails_and_recovers(
    tmp_path: pathlib.Path, webhook_sink: WebhookSink
) -> None:
    """Red without the event, if the failing webhook is called too, or if another project's alarm fires."""
    overrides = tmp_path / "data" / "conf.d"
    overrides.mkdir(parents=True)
    (overrides / "quick.conf").write_text(OPTIONS)
    commands = blocks(PAGE)
    failing = WebhookSink()
    hook = failing.url("/hook").replace("://", "://user:s3cr3t@")
    destination = failing.url("").rstrip("/")
    failing.behave("/hook", statuses=[503])
    try:
        with running(tmp_path / "data", tmp_path / "log") as cloud:
            env = tenant(cloud.endpoint, "member,reader", HOOK=hook, PAGER=webhook_sink.url("/pager"))
            watch_as("another", cloud, webhook_sink.url("/another"))
            (made,) = run_here(commands["Watch all destinations"], tmp_path, env)
            watched = cloud.watch(hook, "vm-1")
            cloud.post(notification("vm-1", "error"))
            (raised,) = webhook_sink.wait(1, "/pager")
            assert (raised.json["alarm_id"], raised.json["current"]) == (made["alarm_id"], "alarm")
            event = raised.json["reason_data"]["event"]
            assert event["event_type"] == "eventalarm.destination.failing"
            traits = {name: value for name, _, value in event["traits"]}
            assert (traits["destination"], traits["status"]) == (destination, 503)
            assert "s3cr3t" not in str(event)

            failing.behave("/hook")
            _, cleared = webhook_sink.wait(2, "/pager")
            assert cleared.json["current"] == "ok"
            ((refused,),) = run_here(commands["See what was not sent"], tmp_path, env)
            env["DELIVERY"] = refused["Delivery"]
            (shown,) = run_here(commands["See why it was not sent"], tmp_path, env)
            assert (shown["error"], shown["attempts"]) == (OWN_DESTINATION, 0)
            assert {one.json["alarm_id"] for one in failing.at("/hook")} == {watched}
            assert webhook_sink.at("/another") == []
    finally:
        failing.close()


def watch_as(project: str, cloud: Standalone, url: str) -> None:
    rule = {"event_type": "eventalarm.*"}
    alarm = {"name": "all", "type": "event", "event_rule": rule, "alarm_actions": [url]}
    cloud.client(project).alarm.create(alarm)


@pytest.fixture
def database(our_sqlite_url: str) -> Iterator[Database]:
    with open_database(our_sqlite_url) as opened:
        yield opened


def test_an_event_that_is_published_twice_fires_once_and_for_its_project_only(database: Database) -> None:
    """Red if the id is made of the time of publication, or events without a project concern tenants."""
    rules = {"event_type": "eventalarm.*", "query": []}
    for project in ("tenant", "another", "operators"):
        insert_alarms(database, alarm_row(project, rule=rules, project_id=project, repeat_actions=True))
    engine = EngineHarness(database, infrastructure_projects=["operators"])
    now = datetime.datetime.now(datetime.UTC)
    failing = OperationalEvent(OperationalType.DESTINATION_FAILING, "tenant", "http://a:80", now)
    lost = OperationalEvent(OperationalType.LISTENER_LOST, "", "compute-1", now, once="worker")
    for event in (failing, lost, failing, lost):
        engine.process(body_of(event))
    found = [(one["project_id"], one["event_type"]) for one in transitions(database)]
    assert found == [("tenant", failing.event_type.value), ("operators", lost.event_type.value)]


def test_the_evaluator_refuses_what_would_go_back(database: Database) -> None:
    """Red if it is left to the worker, which meets it only after what waits for the destination."""
    to = ["http://a/x", "trust+http://a:80/y", "http://b/"]
    rule = {"event_type": "eventalarm.destination.*", "query": []}
    insert_alarms(database, alarm_row("watch", rule=rule, project_id="tenant", alarm_actions=to))
    engine = EngineHarness(database, enqueuer=OutboxEnqueuer(Outbox(database), NoWorker()))
    now = datetime.datetime.now(datetime.UTC)
    engine.process(
        body_of(OperationalEvent(OperationalType.DESTINATION_FAILING, "tenant", "http://a:80", now))
    )
    found = {one["action"]: (one["state"], one["error"]) for one in read_table(database, tables.delivery)}
    refused = ("failed", OWN_DESTINATION)
    assert found == {to[0]: refused, to[1]: refused, to[2]: ("pending", None)}


def test_a_rule_that_cannot_be_evaluated_is_an_event_of_its_project(database: Database) -> None:
    """Red if the cache of a listener only logs it."""
    bad = {"event_type": "x", "query": [{"field": "traits.a", "op": "like", "type": "string", "value": "b"}]}
    insert_alarms(database, alarm_row("bad", rule=bad, project_id="tenant"))
    sent: list[JSONDict] = []
    lease = LeaderLease(database, LEASE_NAME, "me", LEASE)
    reporter = OperationalReporter(OperationalEvents(database), lease, sent.extend, database.about_now)
    build_cache(sender_options(), database, Metrics(), reporter.invalid_rule).load("tenant")
    reporter.run_once()
    (event,) = sent
    traits = {name: value for name, _, value in event["traits"]}
    assert (event["event_type"], traits["project_id"], traits["alarm_id"]) == (
        OperationalType.RULE_INVALID.value,
        "tenant",
        "bad",
    )
    assert "like" in traits["reason"]
