"""Parsing of what monitors send: webhooks of Alertmanager and Zabbix, notifications of collectd."""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from eventalarm.exceptions import EventAlarmError
from eventalarm.http.openapi import Schemas
from eventalarm.http.responses import BadBody, FieldError, pointer
from eventalarm.ingest.reading import A_TIME, Bounds, check_event
from eventalarm.ingest.reports import Report, ReportConverter
from eventalarm.model import UTC, parse_time
from eventalarm.publisher import codec

LOG = logging.getLogger(__name__)

UNIX_TIME: Final = "give seconds since 1970, {EVENT.TIMESTAMP} or {EVENT.RECOVERY.TIMESTAMP}"
# {EVENT.NSEVERITY}: not classified, information, warning, average, high, disaster.
ZABBIX_SEVERITIES: Final = ("INDETERMINATE", "WARNING", "WARNING", "MINOR", "MAJOR", "CRITICAL")
COLLECTD_SEVERITIES: Final = {"FAILURE": "CRITICAL", "WARNING": "WARNING"}
SEVERITIES: Final = {"page": "CRITICAL", "error": "MAJOR", "high": "MAJOR", "low": "MINOR"}

Listed = Iterator[tuple[str, Report]]


class BadField(EventAlarmError):
    """The value at *field*, a JSON pointer, cannot be read."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.error = FieldError(field, problem, remedy)


class MonitorReader:
    """Parses the requests of one monitor.

    :param schema: the name of the schema of a request's body.
    :param read: yields each report of a valid body with its JSON pointer; may raise :class:`BadField`.
    """

    def __init__(
        self,
        schemas: Schemas,
        bounds: Bounds,
        converter: ReportConverter,
        schema: str,
        read: Callable[[Any], Listed],
    ) -> None:
        self._schemas = schemas
        self._bounds = bounds
        self._converter = converter
        self._schema = schema
        self._read = read

    def events(self, body: Any) -> list[codec.Encoded]:
        """Return the events of a request in order, encoded for the bus and valid for a listener.

        :raises BadBody: when any part of the request is invalid; nothing of it is accepted then.
        """
        if errors := self._schemas.errors(self._schema, body):
            raise BadBody(errors)
        found: list[codec.Encoded] = []
        try:
            for field, report in self._read(body):
                event, errors = check_event(field, self._converter.event(report), self._bounds.event)
                if event is None:
                    raise BadBody(errors)
                found.append(event)
        except BadField as exc:
            raise BadBody([exc.error]) from exc
        if len(found) > self._bounds.events:
            most = f"more than {self._bounds.events} events ([eventalarm_ingest] max_events)"
            raise BadBody([FieldError("", most, "group alerts by a label, so that each request has fewer")])
        return found


def read_alertmanager(body: Mapping[str, Any]) -> Listed:
    """Yield the alerts of a webhook of Prometheus Alertmanager, version 4.

    Source: ``template.Data`` and ``notify/webhook`` of Alertmanager. ``endsAt`` counts only once an alert is
    resolved.
    """
    if body.get("truncatedAlerts"):
        LOG.warning(
            "Alertmanager left out %s alerts of a webhook; remove max_alerts from its receiver",
            body["truncatedAlerts"],
        )
    for number, alert in enumerate(body["alerts"]):
        field, labels = pointer("alerts", number), dict(alert["labels"])
        active = alert["status"] == "firing"
        begun = _time(f"{field}/startsAt", alert["startsAt"])
        moment = begun if active else _time(f"{field}/endsAt", alert["endsAt"])
        if severity := labels.get("severity"):
            labels["severity"] = SEVERITIES.get(severity.lower(), severity)
        key = alert.get("fingerprint") or _fingerprint(alert["labels"])
        name = labels.get("alertname") or "alert"
        yield (
            field,
            Report(
                source="alertmanager",
                name=name,
                key=(key, begun.isoformat()),
                active=active,
                time=moment,
                labels=labels,
                annotations=alert.get("annotations") or {},
            ),
        )


def read_collectd(body: list[Mapping[str, Any]]) -> Listed:
    """Yield the notifications that collectd's plugin ``write_http`` sends with ``Notifications true``.

    Source: ``format_json_notification`` of collectd. They have no id: the same labels, severity and time are
    the same notification. OKAY ends what FAILURE or WARNING began.
    """
    for number, one in enumerate(body):
        field, labels = pointer(number), dict(one["labels"])
        annotations = dict(one["annotations"])
        word = annotations.pop("severity")
        moment = _time(f"{field}/startsAt", one["startsAt"])
        if severity := COLLECTD_SEVERITIES.get(word):
            labels["severity"] = severity
        yield (
            field,
            Report(
                source="collectd",
                name=labels["alertname"],
                key=(_fingerprint(one["labels"]), word, moment.isoformat()),
                active=word != "OKAY",
                time=moment,
                labels=labels,
                annotations=annotations,
            ),
        )


def read_zabbix(body: Mapping[str, Any]) -> Listed:
    """Yield the problem of a webhook of Zabbix, whose parameters are named as in our documentation.

    The tags of the problem become traits; of tags with one name the first counts. Zabbix leaves a macro
    without a value as it is, ``{EVENT.RECOVERY.TIMESTAMP}`` while the problem lasts.
    """
    active = body["event_value"] == "1"
    place = "timestamp" if active else "recovery_timestamp"
    labels = {"hostname": body["host"], "trigger_id": str(body.get("trigger_id", ""))}
    for tag in reversed(_tags(body.get("tags") or [])):
        labels[tag["tag"]] = tag["value"]
    labels.setdefault("severity", ZABBIX_SEVERITIES[int(body["nseverity"])])
    yield (
        "",
        Report(
            source="zabbix",
            name=body["event_name"],
            key=(str(body["event_id"]),),
            active=active,
            time=_unix_time(pointer(place), body.get(place)),
            labels=labels,
            annotations={"summary": body["event_name"], "description": body.get("opdata", "")},
        ),
    )


def _tags(given: Any) -> list[Mapping[str, str]]:
    """Return the tags, which Zabbix passes as the text of a JSON list (``{EVENT.TAGSJSON}``)."""
    remedy = 'give {EVENT.TAGSJSON}, a list of {"tag": …, "value": …}'
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError) as exc:
            raise BadField("/tags", "not JSON", remedy) from exc
    if not isinstance(given, list) or not all(_is_tag(one) for one in given):
        raise BadField("/tags", "must be a list of tags", remedy)
    return given


def _is_tag(one: object) -> bool:
    return isinstance(one, dict) and all(isinstance(one.get(name), str) for name in ("tag", "value"))


def _fingerprint(labels: Mapping[str, str]) -> str:
    return json.dumps(labels, sort_keys=True, separators=(",", ":"))


def _time(field: str, given: str) -> datetime.datetime:
    try:
        return parse_time(given)
    except ValueError as exc:
        raise BadField(field, str(exc), A_TIME) from exc


def _unix_time(field: str, given: object) -> datetime.datetime:
    try:
        return datetime.datetime.fromtimestamp(int(str(given)), UTC)
    except (ValueError, OverflowError, OSError) as exc:
        raise BadField(field, f"not a Unix time: {str(given)[:80]!r}", UNIX_TIME) from exc
