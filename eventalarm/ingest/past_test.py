"""``POST /v1/rules/test`` with ``since``: what a rule would have done with recorded events."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator
from typing import Final

from eventalarm.delivery import action
from eventalarm.evaluator.rule_diff import Change, Difference, MadeBy, compare
from eventalarm.evaluator.simulation import PastEvent, Simulation, SimulationOptions
from eventalarm.http.responses import BadBody, FieldError, plain
from eventalarm.ingest.reading import A_TIME
from eventalarm.model import (
    ALARM,
    OK,
    UNKNOWN,
    Alarm,
    AlarmDefinition,
    Event,
    JSONDict,
    Transition,
    parse_time,
)
from eventalarm.storage.database import Database
from eventalarm.storage.delivery_pages import DeliveryPages
from eventalarm.storage.recorded_event_pages import MOST_SHOWN, StoredTransition
from eventalarm.storage.recorded_history import past_events, past_transitions

SCHEMA: Final = "PastRuleTest"
WORDS: Final = {
    MadeBy.BOTH: "as before",
    MadeBy.DRAFT: "only by the tested rule",
    MadeBy.PRESENT: "only by the present rule",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """The time whose events are tested, aware UTC."""

    since: datetime.datetime
    until: datetime.datetime


def span_of(body: JSONDict, now: datetime.datetime) -> Span:
    """Return the time that a request names, until *now* by default.

    :raises BadBody: when it is not one.
    """
    errors: list[FieldError] = []
    times = {"until": now}
    for name in ("since", "until"):
        if name in body:
            try:
                times[name] = parse_time(body[name].strip())
            except ValueError as exc:
                errors.append(FieldError(f"/{name}", str(exc), A_TIME))
    if not errors and times["since"] > times["until"]:
        errors.append(FieldError("/since", "is later than until", "give an earlier time"))
    if errors:
        raise BadBody(errors)
    return Span(times["since"], times["until"])


def draft_of(definition: AlarmDefinition) -> Alarm:
    """Return the alarm that a rule without one stands for."""
    return Alarm(
        definition,
        enabled=True,
        name="",
        severity=None,
        state=UNKNOWN,
        repeat_actions=False,
        actions={ALARM: (), OK: (), UNKNOWN: ()},
        time_constraints=(),
    )


class PastTest:
    """Tests rules over the recorded events of projects.

    :param mode: the option ``record_events``, which decides what is known of the past.
    :param most: the maximum number of events of one test.
    """

    def __init__(self, options: SimulationOptions, mode: str, most: int) -> None:
        self._options = options
        self._mode = mode
        self._most = most

    def answer(self, database: Database, alarm: Alarm, span: Span, *, compared: bool) -> JSONDict:
        """Return what *alarm* would have done, beside what was done if it is *compared*.

        :param alarm: with the rule that is tested; its project is that of the events.
        :raises InvalidRule: when the rule cannot be evaluated.
        """
        bodies = past_events(database, alarm.definition.project_id, span.since, span.until, self._most + 1)
        events = [PastEvent(Event(one.body), one.recorded_at) for one in bodies[: self._most]]
        until = span.until if len(bodies) <= self._most else events[-1].at
        done = Simulation(alarm, self._options, span.since).run(events, until)
        until = done.ended_at or until
        draft = [_of_draft(one) for one in done.transitions if one.recorded_at <= until]
        present = list(_made(database, alarm.alarm_id, Span(span.since, until))) if compared else []
        differences = compare(draft, present)
        return {
            "since": span.since.isoformat(),
            "until": until.isoformat(),
            "complete": until == span.until,
            "record_events": self._mode,
            "events": len(events),
            "matched": done.matched,
            "reasons": dict(done.reasons),
            "changes": [_shown(one) for one in differences],
            "text": list(_lines(differences, len(events), done.matched, compared=compared)),
        }


def _of_draft(one: Transition) -> Change:
    return Change(
        at=one.recorded_at,
        kind=one.kind.value,
        managed_object=one.managed_object,
        message_id=one.event.message_id,
        event_type=one.event.event_type,
        previous=one.previous,
        current=one.current,
        severity=one.severity,
        webhooks=tuple(map(action.masked, one.actions)),
    )


def _made(database: Database, alarm_id: str, span: Span) -> Iterator[Change]:
    """Yield what the present rule did, with the deliveries that are still known."""
    found = past_transitions(database, alarm_id, span.since, span.until, MOST_SHOWN)
    sent = DeliveryPages(database).of_transitions([one.transition_id for one in found])
    for one in found:
        calls = tuple(action.masked(call.action) for call in sent.get(one.transition_id, ()))
        yield _of_present(one, calls)


def _of_present(one: StoredTransition, webhooks: tuple[str, ...]) -> Change:
    return Change(
        at=one.recorded_at,
        kind=one.kind,
        managed_object=one.managed_object,
        message_id=one.message_id,
        event_type=one.event_type,
        previous=one.previous,
        current=one.current,
        severity=one.severity,
        webhooks=webhooks,
    )


def _shown(one: Difference) -> JSONDict:
    calls = {"webhooks": list(one.change.webhooks), "webhooks_before": list(one.before)}
    if one.made_by is MadeBy.PRESENT:
        calls = {"webhooks": [], "webhooks_before": list(one.change.webhooks)}
    return {"made_by": one.made_by.value} | plain(one.change) | calls


def _lines(differences: list[Difference], events: int, matched: int, *, compared: bool) -> Iterator[str]:
    yield f"{matched} of {events} recorded events concern the alarm."
    for one in differences:
        change = one.change
        what = f"{change.kind} of {change.managed_object}" if change.managed_object else change.kind
        whose = f" ({_compared(one)})" if compared else ""
        calls = f"calls {_called(change.webhooks)}{whose}"
        yield f"{change.at.isoformat()}: {what}, {change.previous} to {change.current}, {calls}"


def _compared(one: Difference) -> str:
    same = one.made_by is not MadeBy.BOTH or sorted(one.before) == sorted(one.change.webhooks)
    return WORDS[one.made_by] if same else f"before: {_called(one.before)}"


def _called(webhooks: tuple[str, ...]) -> str:
    return ", ".join(webhooks) or "nothing"
