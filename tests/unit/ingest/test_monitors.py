"""Parsing of the webhooks of Alertmanager and Zabbix and of collectd's notifications."""

from __future__ import annotations

import datetime
import logging
from typing import Any

import pytest

from eventalarm.catalogue.fault_files import load_shipped
from eventalarm.http import openapi
from eventalarm.http.responses import BadBody
from eventalarm.ingest import application
from eventalarm.ingest.monitors import MonitorReader, read_alertmanager, read_collectd, read_zabbix
from eventalarm.ingest.reading import Bounds
from eventalarm.ingest.reports import ReportConverter
from eventalarm.model import RESOURCE_TRAITS, EventLimits
from tests.support.monitors import ENDED, NEVER, alert, alertmanager, collectd, zabbix

SCHEMAS = openapi.Schemas(openapi.load(application.DOCUMENT_FILE))
CONVERTER = ReportConverter(load_shipped(), [], RESOURCE_TRAITS)
FORMS: dict[str, tuple[str, Any]] = {
    "alertmanager": ("AlertmanagerWebhook", read_alertmanager),
    "zabbix": ("ZabbixProblem", read_zabbix),
    "collectd": ("CollectdNotifications", read_collectd),
}


def events(form: str, body: Any, limits: EventLimits | None = None) -> list[dict[str, Any]]:
    schema, read = FORMS[form]
    bounds = Bounds(1 << 20, 3, limits or EventLimits(traits=20))
    return [one.body for one in MonitorReader(SCHEMAS, bounds, CONVERTER, schema, read).events(body)]


def traits(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, _, value in event["traits"]}


def test_alerts_of_a_webhook_become_events() -> None:
    begun, ended = events("alertmanager", alertmanager(alert(), alert(ended=True)))

    assert (begun["event_type"], begun["generated"]) == ("compute.host.down", "2026-11-20T23:01:36.123456")
    assert (ended["event_type"], ended["generated"]) == ("compute.host.up", "2026-11-20T23:11:36.500000")
    assert traits(begun) == {
        "summary": "Host does not answer",
        "annotation.runbook_url": "http://wiki/host",
        "alertname": "HostDown",
        "instance": "compute0:9100",
        "severity": "critical",
        "alert_id": traits(ended)["alert_id"],
        "monitor": "alertmanager",
        "hostname": "compute0",
        "status": "down",
        "resource_id": "compute0",
    }


def test_an_alert_that_is_sent_again_has_the_same_id() -> None:
    """Fails when anything but fingerprint, startsAt and status counts."""
    first = alert()
    again = {**alert(), "annotations": {"summary": "other"}, "endsAt": ENDED, "generatorURL": ""}
    later = {**alert(), "startsAt": "2026-11-21T00:00:00Z"}
    without = [
        {name: value for name, value in one.items() if name != "fingerprint"} for one in (first, again)
    ]
    ids = [
        events("alertmanager", alertmanager(one))[0]["message_id"]
        for one in (first, again, later, alert(ended=True), *without)
    ]

    assert ids[0] == ids[1]
    assert ids[4] == ids[5]
    assert len(set(ids)) == 4


def test_alerts_that_alertmanager_left_out_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        events("alertmanager", alertmanager(alert(), truncatedAlerts=7))

    assert "left out 7 alerts of a webhook; remove max_alerts" in caplog.text


@pytest.mark.parametrize(
    ("word", "severity"), [("page", "CRITICAL"), ("Error", "MAJOR"), ("critical", "critical"), ("odd", "odd")]
)
def test_severities_of_prometheus_are_those_of_x733(word: str, severity: str) -> None:
    (event,) = events("alertmanager", alertmanager(alert(severity=word)))
    assert traits(event)["severity"] == severity


def test_a_problem_of_zabbix_becomes_an_event() -> None:
    (begun,), (ended,) = events("zabbix", zabbix()), events("zabbix", zabbix(ended=True))

    assert (begun["event_type"], ended["event_type"]) == ("compute.host.down", "compute.host.up")
    moments = [datetime.datetime.fromisoformat(one["generated"]) for one in (begun, ended)]
    assert moments[1] - moments[0] == datetime.timedelta(minutes=10)
    assert traits(begun)["alert_id"] == traits(ended)["alert_id"]
    assert traits(begun).items() >= {"hostname": "compute0", "severity": "MAJOR", "trigger_id": "99"}.items()
    assert traits(begun)["scope"] == "availability", "the first tag of a name"
    listed = [{"tag": "project_id", "value": "p"}, {"tag": "event_type", "value": "compute.host.nic"}]
    (owned,) = events("zabbix", zabbix(tags=listed, nseverity="5"))
    assert (owned["event_type"], traits(owned)["project_id"]) == ("compute.host.nic", "p")


def test_a_notification_of_collectd_becomes_an_event() -> None:
    (begun,), (ended,) = events("collectd", collectd()), events("collectd", collectd("OKAY", ENDED))

    assert (begun["event_type"], ended["event_type"]) == ("compute.host.nic", "compute.host.nic")
    assert (traits(begun)["status"], traits(ended)["status"]) == ("failed", "ok")
    assert (traits(begun)["severity"], traits(begun)["hostname"]) == ("CRITICAL", "compute0")
    assert begun["message_id"] == events("collectd", collectd())[0]["message_id"]
    assert begun["message_id"] != events("collectd", collectd("WARNING"))[0]["message_id"]


MANY: dict[str, Any] = {f"label{number}": "x" for number in range(21)}


@pytest.mark.parametrize(
    ("form", "body", "field", "words"),
    [
        ("alertmanager", [], "", "Give the webhook of Alertmanager, version 4"),
        ("alertmanager", {"version": "4"}, "", "'alerts' is a required property"),
        ("alertmanager", alertmanager(alert(), version="3"), "/version", "Use a release of Alertmanager"),
        ("alertmanager", alertmanager(), "/alerts", "Give a list of at least one alert"),
        (
            "alertmanager",
            alertmanager(*[alert()] * 4),
            "",
            "more than 3 events ([eventalarm_ingest] max_events)",
        ),
        (
            "alertmanager",
            alertmanager({**alert(), "status": "odd"}),
            "/alerts/0/status",
            "firing or resolved",
        ),
        ("alertmanager", alertmanager({**alert(), "labels": []}), "/alerts/0/labels", "members are strings"),
        (
            "alertmanager",
            alertmanager({**alert(), "labels": {"a": 1}}),
            "/alerts/0/labels/a",
            "Give a string",
        ),
        (
            "alertmanager",
            alertmanager({**alert(), "startsAt": "soon"}),
            "/alerts/0/startsAt",
            "give an ISO 8601",
        ),
        (
            "alertmanager",
            alertmanager(alert(), {**alert(ended=True), "endsAt": "never"}),
            "/alerts/1/endsAt",
            "give an ISO 8601",
        ),
        ("alertmanager", alertmanager(alert(**MANY)), "/alerts/0", "too_many_traits"),
        ("alertmanager", alertmanager(alert(event_type="\ud800")), "/alerts/0", "bad_event_type"),
        ("alertmanager", alertmanager(alert("x" * 2000)), "/alerts/0", "correct or shorten the event"),
        ("zabbix", zabbix(event_value="2"), "/event_value", "1 for a problem and 0 for its recovery"),
        ("zabbix", zabbix(nseverity="high"), "/nseverity", "{EVENT.NSEVERITY}, 0 to 5"),
        ("zabbix", zabbix(host=""), "/host", "{HOST.HOST}"),
        ("zabbix", zabbix(timestamp="{EVENT.TIMESTAMP}"), "/timestamp", "seconds since 1970"),
        ("zabbix", zabbix(timestamp="9" * 5000), "/timestamp", "seconds since 1970"),
        ("zabbix", zabbix(True, recovery_timestamp="soon"), "/recovery_timestamp", "not a Unix time: 'soon'"),
        ("zabbix", zabbix(tags="{EVENT.TAGSJSON}"), "/tags", "not JSON; give {EVENT.TAGSJSON}"),
        ("zabbix", zabbix(tags="[" * 100_000), "/tags", "not JSON"),
        ("zabbix", zabbix(tags='[{"tag": 1}]'), "/tags", "must be a list of tags"),
        ("collectd", {}, "", "Give the list that collectd's plugin write_http sends"),
        ("collectd", [{"labels": {}, "annotations": {}}], "/0", "'startsAt' is a required property"),
        ("collectd", collectd("ODD"), "/0/annotations/severity", "OKAY, WARNING, FAILURE or UNKNOWN"),
        ("collectd", collectd(at="soon"), "/0/startsAt", "give an ISO 8601"),
    ],
)
def test_an_error_names_the_field_and_the_remedy(form: str, body: Any, field: str, words: str) -> None:
    with pytest.raises(BadBody) as refused:
        events(form, body)

    found = {f"{one.field}: {one.problem}; {one.remedy}" for one in refused.value.errors}
    assert any(one.startswith(f"{field}: ") and words in one for one in found), found


def test_a_time_that_is_not_set_counts_only_once_it_is_needed() -> None:
    assert events("alertmanager", alertmanager({**alert(), "endsAt": NEVER}))
