"""``POST /v1/rules/test``: explains what an event would do to a rule or an alarm; writes nothing."""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
from collections.abc import Callable
from typing import Any

import falcon

from eventalarm.evaluator import decide
from eventalarm.evaluator.event_rule import Verdict
from eventalarm.evaluator.explain import Explanation, ObjectsOf, explain
from eventalarm.evaluator.notification_rule import parse
from eventalarm.evaluator.objects_in_fault import AtLeast, ObjectsInFault
from eventalarm.evaluator.options import RuleLimits
from eventalarm.evaluator.timers import TimerState
from eventalarm.exceptions import EventAlarmError, InvalidEvent, InvalidRule
from eventalarm.http.auth import Caller, Guard, caller_of
from eventalarm.http.openapi import Schemas
from eventalarm.http.requests import read_json
from eventalarm.http.responses import BadBody, FieldError, pointer
from eventalarm.ingest import ingest_policies, past_test
from eventalarm.ingest.past_test import PastTest
from eventalarm.ingest.reading import A_TIME, SIZE_HINT, EventReader
from eventalarm.model import (
    UTC,
    Alarm,
    AlarmDefinition,
    Event,
    EventLimits,
    JSONDict,
    TimerKind,
    parse_time,
    timer_id,
)
from eventalarm.owner import Owners
from eventalarm.storage import timers
from eventalarm.storage.alarms import NEVER, read_alarm
from eventalarm.storage.column_types import to_key
from eventalarm.storage.database import Database

LOG = logging.getLogger(__name__)

TYPES = (decide.NOTIFICATION_TYPE, decide.EVENT_TYPE)
WORDS = {Verdict.MATCH: "raises", Verdict.RECOVERED: "clears", Verdict.NOTHING: "nothing"}


@dataclasses.dataclass(frozen=True, slots=True)
class DryRunOptions:
    """The options of the listeners that an explanation depends on; ``max_body`` in bytes."""

    owner_traits: tuple[str, ...]
    resource_traits: tuple[str, ...]
    infrastructure_projects: tuple[str, ...]
    clear_mode: str
    rule: RuleLimits
    event: EventLimits
    max_body: int


class RuleTest:
    """The resource. *database* opens Aodh's database: for an alarm, or a rule that depends on the time."""

    def __init__(
        self,
        guard: Guard,
        schemas: Schemas,
        reader: EventReader,
        *,
        database: Callable[[], Database],
        options: DryRunOptions,
        past: PastTest,
    ) -> None:
        self._guard = guard
        self._schemas = schemas
        self._reader = reader
        self._database = database
        self._options = options
        self._past = past
        self._owners = Owners(options.owner_traits)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the explanation."""
        caller = caller_of(req)
        self._guard.require(caller, ingest_policies.TEST_RULE)
        body = read_json(req, self._options.max_body, size_hint=SIZE_HINT)
        if isinstance(body, dict) and "since" in body:
            resp.text = json.dumps(self._over_past_events(caller, body))
            return
        errors = self._schemas.errors("RuleTest", body)
        # The event reader reports errors of the event more precisely.
        if errors := [one for one in errors if not one.field.startswith("/event")]:
            raise BadBody(errors)
        event = self._event(body["event"])
        given = self._given_time(body)
        alarm = self._alarm(caller, body["alarm_id"]) if "alarm_id" in body else None
        definition = alarm.definition if alarm is not None else self._definition(caller, body)
        now = given or self._current_time(definition)
        try:
            found = explain(
                definition,
                event,
                now,
                resource_traits=self._options.resource_traits,
                clears=decide.clears(self._options.clear_mode, definition),
                objects_of=self._objects_of(alarm) if alarm is not None else None,
            )
        except InvalidRule as exc:
            raise _bad_rule(exc) from exc
        resp.text = json.dumps(self._answer(found, definition, event, alarm))

    def _over_past_events(self, caller: Caller, body: JSONDict) -> JSONDict:
        """Return what a rule would have done, beside what its alarm did.

        :raises BadBody: when the body is invalid.
        """
        if errors := self._schemas.errors(past_test.SCHEMA, body):
            raise BadBody(errors)
        if not caller.project_id:
            raise falcon.HTTPForbidden(description="the token is not scoped to a project")
        database = self._database()
        span = past_test.span_of(body, database.now())
        alarm = self._alarm(caller, body["alarm_id"]) if "alarm_id" in body else None
        if alarm is None:
            tested = past_test.draft_of(self._definition(caller, body))
        elif "rule" in body:
            draft = self._definition(caller, {"type": alarm.definition.type} | body)
            definition = dataclasses.replace(
                alarm.definition,
                type=draft.type,
                rule=draft.rule,
                has_ok_actions=body.get("ok_actions", alarm.definition.has_ok_actions),
            )
            tested = dataclasses.replace(alarm, definition=definition)
        else:
            tested = alarm
        try:
            return self._past.answer(database, tested, span, compared=alarm is not None)
        except InvalidRule as exc:
            raise _bad_rule(exc) from exc

    def _objects_of(self, alarm: Alarm) -> ObjectsOf:
        """Return what finds the objects that the alarm tracks."""

        def find(managed_object: str, at_least: AtLeast) -> ObjectsInFault:
            database, place = self._database(), to_key(managed_object)
            with database.read() as connection:
                known = timers.read(connection, [timer_id(alarm.alarm_id, place, TimerKind.OBJECTS)])
            return TimerState(known, NEVER).objects(alarm.alarm_id, place, at_least)

        return find

    def _event(self, body: Any) -> Event:
        try:
            return Event.parse(self._reader.event(body, "/event"), self._options.event)
        except InvalidEvent as exc:
            raise BadBody([FieldError("/event", str(exc), "give a smaller event")]) from exc

    def _given_time(self, body: JSONDict) -> datetime.datetime | None:
        try:
            return parse_time(body["now"]) if "now" in body else None
        except ValueError as exc:
            raise BadBody([FieldError("/now", str(exc), A_TIME)]) from exc

    def _current_time(self, definition: AlarmDefinition) -> datetime.datetime:
        """Return the database's time, which listeners use, if the rule depends on the time.

        Without a database, and for other rules, return the time of this host.
        """
        if "now" in json.dumps(definition.rule):
            try:
                return self._database().about_now()
            except EventAlarmError as exc:
                LOG.debug("Cannot read the database's clock: %s", exc)
        return datetime.datetime.now(UTC)

    def _definition(self, caller: Caller, body: JSONDict) -> AlarmDefinition:
        kind = body.get("type", decide.NOTIFICATION_TYPE)
        try:
            if kind == decide.NOTIFICATION_TYPE:
                parse(body["rule"], self._options.rule)
        except InvalidRule as exc:
            raise _bad_rule(exc) from exc
        ok_actions = body.get("ok_actions", True)
        return AlarmDefinition("", caller.project_id, kind, NEVER, body["rule"], ok_actions)

    def _alarm(self, caller: Caller, alarm_id: str) -> Alarm:
        found = find_alarm(self._database(), caller.project_id, alarm_id)
        if found.definition.type not in TYPES:
            kind = found.definition.type
            raise BadBody(
                [
                    FieldError(
                        "/alarm_id",
                        f"is of type {kind}, which is not evaluated on events",
                        "give the id of another alarm",
                    )
                ]
            )
        return found

    def _answer(
        self, found: Explanation, definition: AlarmDefinition, event: Event, alarm: Alarm | None
    ) -> JSONDict:
        owner = self._owners.of(event)
        project = definition.project_id
        seen = project == owner if owner else project in ("", *self._options.infrastructure_projects)
        answer: JSONDict = {
            **shown_explanation(found),
            "owner": owner or None,
            "seen": seen,
            "text": found.lines(),
        }
        if not seen:
            whose = f"project {owner}" if owner else "no project, and yours is not an infrastructure project"
            answer["text"] = [
                f"The event is not evaluated against the alarm: it belongs to {whose}.",
                *found.lines(),
            ]
        if alarm is not None:
            answer["alarm"] = {"enabled": alarm.enabled, "state": alarm.state}
        return answer


def find_alarm(database: Database, project_id: str, alarm_id: str) -> Alarm:
    """Return an alarm of a project.

    :raises falcon.HTTPNotFound: when the project has none of that id.
    """
    found = read_alarm(database, alarm_id)
    # Compared here as well: databases may compare strings without regard to case.
    if found is None or found.definition.project_id != project_id:
        raise falcon.HTTPNotFound(description="alarm not found in your project")
    return found


def shown_explanation(found: Explanation) -> JSONDict:
    """Return an explanation as clients see it, without its text."""
    return {
        "verdict": WORDS[found.verdict],
        "managed_object": found.managed_object,
        "raises": dataclasses.asdict(found.raises),
        "clears": None if found.clears is None else dataclasses.asdict(found.clears),
        "bad_traits": list(found.bad_traits),
    }


def _bad_rule(error: InvalidRule) -> BadBody:
    # "query[0].op" of the rule is /rule/query/0/op in the body.
    places = error.field.replace("[", ".").replace("]", ".").split(".")
    parts = [] if error.field == "rule" else [place for place in places if place]
    field = "/rule" + pointer(*parts)
    return BadBody([FieldError(field, error.problem, error.remedy)])
