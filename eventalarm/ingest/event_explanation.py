"""``/v1/events/{id}/explain``: what a recorded event did to an alarm, and why it did not fire."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import falcon

from eventalarm.evaluator import decide
from eventalarm.evaluator.decide import Reason
from eventalarm.evaluator.event_rule import Verdict
from eventalarm.evaluator.explain import Explanation, explain
from eventalarm.evaluator.reason_texts import SENTENCES, why_unsent
from eventalarm.exceptions import InvalidRule
from eventalarm.http.parameters import BadParameter
from eventalarm.ingest.deliveries import shown as shown_delivery
from eventalarm.ingest.dryrun import TYPES, find_alarm, shown_explanation
from eventalarm.ingest.recorded_events import EventContext, shown_decision, shown_transition
from eventalarm.model import Alarm, Event, JSONDict, Kind
from eventalarm.storage.column_types import clean
from eventalarm.storage.delivery_pages import DeliveryPages
from eventalarm.storage.delivery_selection import StoredDelivery
from eventalarm.storage.recorded_event_pages import LedTo, RecordedEvent, StoredTransition

# The deliveries of each transition, by its id.
Sent = Mapping[str, Sequence[StoredDelivery]]


class EventExplanation:
    """The resource. The conditions are those of the present rule, the decisions those made at the time.

    :param resource_traits: the option of the listeners.
    :param clear_mode: which ``event`` alarms clear, see :func:`eventalarm.evaluator.decide.clears`.
    """

    def __init__(self, context: EventContext, resource_traits: tuple[str, ...], clear_mode: str) -> None:
        self._context = context
        self._resource_traits = resource_traits
        self._clear_mode = clear_mode

    def on_get(self, req: falcon.Request, resp: falcon.Response, event_id: str) -> None:
        """Return the explanation."""
        context = self._context
        alarm_id = clean(req.get_param("alarm_id") or "")
        if not alarm_id:
            raise BadParameter("alarm_id must name an alarm of the project")
        event, body = context.find(req, event_id)
        alarm = find_alarm(context.database(), event.project_id, alarm_id)
        if alarm.definition.type not in TYPES:
            raise BadParameter(
                f"alarm_id names an alarm of type {alarm.definition.type}, which is not evaluated on events"
            )
        results = context.pages().led_to(event, alarm_id)
        transition_ids = [one.transition_id for one in results.transitions]
        sent = DeliveryPages(context.database()).of_transitions(transition_ids)
        answer: JSONDict = {
            "event_id": event.record_id,
            "alarm": {
                "alarm_id": alarm_id,
                "name": alarm.name,
                "enabled": alarm.enabled,
                "state": alarm.state,
            },
            "transitions": [shown_transition(one) for one in results.transitions],
            "decisions": [shown_decision(one) for one in results.decisions],
            "deliveries": [shown_delivery(one) for some in sent.values() for one in some],
        }
        try:
            found = self._explanation(alarm, event, body)
        except InvalidRule as exc:
            answer |= {"rule": None, "text": [*past(event, results, sent), f"The rule is invalid: {exc}"]}
        else:
            text = [*past(event, results, sent), *present(event, alarm, results, found), *found.lines()]
            answer |= {"rule": shown_explanation(found), "text": text}
        resp.text = json.dumps(answer)

    def _explanation(self, alarm: Alarm, event: RecordedEvent, body: JSONDict) -> Explanation:
        return explain(
            alarm.definition,
            Event(body),
            event.recorded_at,
            resource_traits=self._resource_traits,
            clears=decide.clears(self._clear_mode, alarm.definition),
        )


def past(event: RecordedEvent, results: LedTo, sent: Sent) -> Iterator[str]:
    """Yield sentences about what was decided about the event, and sent, when it was evaluated."""
    for change in results.transitions:
        what = f"{change.kind} of {change.managed_object}" if change.managed_object else change.kind
        yield f"{change.recorded_at.isoformat()}: {what}, {change.previous} to {change.current}."
        yield from _sent(change, sent)
    for decision in results.decisions:
        yield f"{decision.decided_at.isoformat()}: {SENTENCES[Reason(decision.reason)]}"
    if not results.transitions and not results.decisions:
        yield f"{event.recorded_at.isoformat()}: the event was not evaluated against the alarm."


def _sent(change: StoredTransition, sent: Sent) -> Iterator[str]:
    mine = sent.get(change.transition_id, ())
    for one in mine:
        error = shown_delivery(one)["error"]
        reason = f": {error}" if error else ""
        yield f"Delivery {one.delivery_id} to {one.destination or 'its action'} is {one.state}{reason}."
    if not mine:
        yield why_unsent(Kind(change.kind), change.current, change.inhibited_by)


def present(event: RecordedEvent, alarm: Alarm, results: LedTo, found: Explanation) -> Iterator[str]:
    """Yield sentences about the present alarm that explain why the event was not evaluated."""
    edited = alarm.definition.version
    if edited > event.recorded_at:
        yield f"The alarm was created or edited later, at {edited.isoformat()}; its present rule is shown."
    if results.transitions or results.decisions:
        return
    if not alarm.enabled:
        yield "The alarm is disabled."
    elif found.verdict is Verdict.NOTHING:
        yield "The event matches no part of the rule."
