"""Parsing of request bodies, in Doctor's or Ceilometer's form, into events that the listeners can decode."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from eventalarm.exceptions import InvalidEvent
from eventalarm.http.openapi import Schemas
from eventalarm.http.responses import BadBody, FieldError, pointer
from eventalarm.model import (
    CHECKPOINTS_TRAIT,
    FLOAT,
    INTEGER,
    STRING,
    EventLimits,
    JSONDict,
    convert,
    format_time,
    make_body,
    parse_time,
    read_checkpoints,
)
from eventalarm.publisher import codec

# Namespace of the ids of reports without an id. Never change it: a repeated report must get the same id.
REPORTS: Final = uuid.UUID("0d4b8a53-3f0b-5b52-9d8e-9a1c2f7f3a61")

# Details that name the owner of the resource; the first one present becomes the trait project_id.
OWNERS: Final = ("project_id", "tenant_id", "project", "tenant")
DEEPEST: Final = 8


class TooDeep(ValueError):
    """Details are nested deeper than :data:`DEEPEST`."""


def to_event(
    report: Mapping[str, Any], resource_traits: Sequence[str], owners: Sequence[str] = OWNERS
) -> JSONDict:
    """Return *report* (``time``, ``type``, optionally ``details`` and ``id``) as a Ceilometer event.

    Every detail becomes a trait. A list or an object becomes a string, as in Ceilometer's converter, so that
    one rule fits both ways of reporting; members of an object become traits too, with dots in their names.
    Added are ``project_id``, from the first of *owners*, and ``resource_id``, from the first of
    *resource_traits*, where the details do not have them.

    :raises ValueError: when ``time`` is not an ISO 8601 time.
    :raises TooDeep: when the details are nested too deeply.
    """
    moment = parse_time(report["time"])
    details: Mapping[str, Any] = report.get("details") or {}
    # Kept as JSON, since what reads them is a profile and not a rule.
    checkpoints = details.get(CHECKPOINTS_TRAIT)
    values = dict(_flatten({name: one for name, one in details.items() if name != CHECKPOINTS_TRAIT}))
    if checkpoints is not None:
        values[CHECKPOINTS_TRAIT] = checkpoints if isinstance(checkpoints, str) else json.dumps(checkpoints)
    for name, sources in (("project_id", owners), ("resource_id", resource_traits)):
        found = next((values[source] for source in sources if values.get(source) not in (None, "")), None)
        if found is not None and values.get(name) in (None, ""):
            values[name] = found
    return make_body(
        report.get("id") or _report_id(moment.isoformat(), report["type"], details),
        report["type"],
        format_time(moment),
        ((name, *_typed(value)) for name, value in values.items() if value is not None),
    )


def _report_id(moment: str, kind: str, details: Mapping[str, Any]) -> str:
    text = json.dumps([moment, kind, details], sort_keys=True, separators=(",", ":"))
    return str(uuid.uuid5(REPORTS, text))


def _flatten(values: Mapping[str, Any], prefix: str = "", level: int = 1) -> Iterator[tuple[str, Any]]:
    if level > DEEPEST:
        raise TooDeep(f"nested more than {DEEPEST} levels deep")
    for name, value in values.items():
        if isinstance(value, dict):
            within = list(_flatten(value, f"{prefix}{name}.", level + 1))
            yield f"{prefix}{name}", str(value)
            yield from within
        elif isinstance(value, list):
            # Only to check its depth.
            for _ in _flatten(dict(enumerate(value)), level=level + 1):  # type: ignore[arg-type]
                pass
            yield f"{prefix}{name}", str(value)
        else:
            yield f"{prefix}{name}", value


def _typed(value: object) -> tuple[int, object]:
    if isinstance(value, bool):
        # As in Ceilometer's converter, so that one rule fits both.
        return STRING, str(value)
    if isinstance(value, int):
        return INTEGER, value
    if isinstance(value, float):
        return FLOAT, value
    return STRING, value


CEILOMETER_KEYS: Final = frozenset({"message_id", "event_type", "traits", "generated"})
SIZE_HINT: Final = " ([eventalarm_ingest] max_body_size); send several requests"
A_TIME: Final = "give an ISO 8601 time, such as 2026-11-20T23:01:36Z"


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a request: its bytes, its events, and each event."""

    body: int
    events: int
    event: EventLimits


class EventReader:
    """Parses events in Doctor's and in Ceilometer's form; *resource_traits* as in ``[eventalarm]``."""

    def __init__(self, schemas: Schemas, bounds: Bounds, resource_traits: Sequence[str]) -> None:
        self._schemas = schemas
        self._bounds = bounds
        self._resource_traits = tuple(resource_traits)

    def events(self, body: Any) -> list[codec.Encoded]:
        """Return the events of a request in order, encoded for the bus and valid for a listener.

        :raises BadBody: listing every error, if there is any.
        """
        found: list[codec.Encoded] = []
        errors: list[FieldError] = []
        for field, one in self._listed(body):
            event, wrong = self._one(field, one)
            errors += wrong
            if event is not None:
                found.append(event)
            if len(errors) > 20:
                break
        if errors:
            raise BadBody(errors)
        return found

    def event(self, body: Any, field: str) -> JSONDict:
        """Return the single event at *field* of a request.

        :raises BadBody: listing every error.
        """
        if isinstance(body, dict) and set(body) == {"event"}:
            field, body = f"{field}/event", body["event"]
        found, errors = self._one(field, body)
        if found is None:
            raise BadBody(errors)
        return found.body

    def _listed(self, body: Any) -> Iterator[tuple[str, Any]]:
        listed: Any = body if isinstance(body, list) else None
        field = ""
        if isinstance(body, dict) and "events" in body:
            listed, field = body["events"], "/events"
        if listed is None:
            listed = [body]
            places = [""]
        else:
            if errors := self._schemas.errors("EventList", listed, field):
                raise BadBody(errors)
            places = [f"{field}/{number}" for number in range(len(listed))]
        if len(listed) > self._bounds.events:
            most = f"more than {self._bounds.events} events ([eventalarm_ingest] max_events)"
            raise BadBody([FieldError(field, most, "send several requests")])
        for place, one in zip(places, listed, strict=True):
            if isinstance(one, dict) and set(one) == {"event"}:
                yield f"{place}/event", one["event"]
            else:
                yield place, one

    def _one(self, field: str, body: Any) -> tuple[codec.Encoded | None, list[FieldError]]:
        kind = "CeilometerEvent" if isinstance(body, dict) and CEILOMETER_KEYS & set(body) else "DoctorEvent"
        if errors := self._schemas.errors(kind, body, field):
            return None, errors
        if kind == "CeilometerEvent":
            errors = list(_unreadable(field, body))
        else:
            details = body.get("details") or {}
            try:
                body = to_event(body, self._resource_traits)
            except TooDeep as exc:
                errors = [FieldError(f"{field}/details", str(exc), "flatten them")]
            except ValueError as exc:
                errors = [FieldError(f"{field}/time", str(exc), A_TIME)]
            else:
                errors = list(_bad_checkpoints(field, details))
        return (None, errors) if errors else check_event(field, body, self._bounds.event)


def check_event(
    field: str, body: JSONDict, limits: EventLimits
) -> tuple[codec.Encoded | None, list[FieldError]]:
    """Decode the event *body* as a listener does: an event that it would drop must not be answered with 202.

    Return the encoded event and no errors, or None and the errors at *field*.
    """
    _, invalid = codec.decode([body], limits)
    if not invalid:
        try:
            return codec.encode(body), []
        except InvalidEvent as exc:
            invalid = [exc]
    return None, [FieldError(field, str(one)[:200], "correct or shorten the event") for one in invalid]


def _bad_checkpoints(field: str, details: Mapping[str, Any]) -> Iterator[FieldError]:
    if CHECKPOINTS_TRAIT in details:
        try:
            read_checkpoints(details[CHECKPOINTS_TRAIT])
        except ValueError as exc:
            place = f"{field}/details/{CHECKPOINTS_TRAIT}"
            yield FieldError(place, str(exc)[:200], "give [{name, time}] or {name: time}, at most 16")


def _unreadable(field: str, body: JSONDict) -> Iterator[FieldError]:
    try:
        parse_time(body["generated"])
    except ValueError as exc:
        yield FieldError(f"{field}/generated", str(exc), A_TIME)
    for number, (_, dtype, value) in enumerate(body["traits"]):
        try:
            convert(value, dtype)
        except ValueError as exc:
            place = field + pointer("traits", number, 2)
            yield FieldError(place, str(exc)[:200], f"give a value of trait type {dtype}, or another type")
