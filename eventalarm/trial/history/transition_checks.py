"""The checks of transitions: none lost, doubled or invented, and no late one undoes a newer state."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from eventalarm.trial.history.facts import CHANGED, CLEARED, LATE, RAISED, SLACK, Facts, Published
from eventalarm.trial.history.records import Alarm, Transition
from eventalarm.trial.history.verdict import Verdict, named


def required_transitions(facts: Facts, verdict: Verdict) -> None:
    """G1: every event that must have a transition has one, and one that was read is not gone."""
    missing = {
        published.event.message_id: f"alarm {alarm.alarm_id}, event {published.event.message_id}"
        for alarm, published in facts.required()
        if not facts.rows_of[alarm.alarm_id, published.event.message_id]
    }
    present = {row.message_id for row in facts.rows}
    for message_id, at in facts.read_at.items():
        if message_id not in present:
            missing.setdefault(message_id, f"event {message_id}, which was committed at {at:.3f}")
    for message_id, text in missing.items():
        verdict.error("lost transition", text, message_id)


def single_transitions(facts: Facts, verdict: Verdict) -> None:
    """G2: at most one transition for each alarm and event."""
    for (alarm_id, message_id), rows in facts.rows_of.items():
        if len(rows) > 1:
            text = f"alarm {alarm_id}, event {message_id}: {_kinds(rows)}"
            verdict.error("doubled transition", text, message_id)


def caused_transitions(facts: Facts, verdict: Verdict) -> None:
    """G2: every transition has an event that can cause it."""
    for row in facts.rows:
        alarm, published = facts.alarms.get(row.alarm_id), facts.events.get(row.message_id)
        known = alarm is not None and published is not None
        if alarm is not None and published is not None:
            about = published.event.resource == alarm.resource and facts.matters(alarm, published)
            known = about and (row.kind in (CLEARED, LATE) or published.event.state == alarm.state)
            known = known and (row.kind != CLEARED or published.event.state != alarm.state)
        if not known:
            verdict.error("invented transition", named(row))


def _kinds(rows: Sequence[Transition]) -> list[str]:
    return [row.kind for row in rows]


def event_times(facts: Facts, verdict: Verdict) -> None:
    """G9: a transition has the time of its event, or that of its receipt if the event is from the future."""
    slack = SLACK + facts.run.skew
    for row in facts.rows:
        published = facts.events.get(row.message_id)
        if (
            published is not None
            and not published.oldest - slack <= row.event_time <= published.newest + slack
        ):
            verdict.error("wrong event time", f"{named(row)} at {row.event_time:.6f}")


def late_transitions(facts: Facts, verdict: Verdict) -> None:
    """G9: before each late transition a newer event was published, in another message."""
    for row in facts.rows:
        alarm, published = facts.alarms.get(row.alarm_id), facts.events.get(row.message_id)
        if row.kind != LATE or alarm is None or published is None:
            continue
        if not any(_overtakes(facts, other, published, row) for other in facts.events_on(alarm)):
            verdict.error("not late", named(row))


def _overtakes(facts: Facts, other: Published, published: Published, row: Transition) -> bool:
    alarm = facts.alarms[row.alarm_id]
    return (
        other is not published
        and other.messages.isdisjoint(published.messages)
        and facts.matters(alarm, other)
        and other.newest > row.event_time
        and other.began <= row.recorded_at + SLACK + facts.run.skew
    )


def commits_in_order(facts: Facts, verdict: Verdict) -> None:
    """G9: the transitions of an alarm that fired are committed in the order of their event times."""
    for alarm_id in facts.alarms:
        for earlier, later in itertools.pairwise(facts.commits(alarm_id)):
            if later.event_time < earlier.event_time:
                verdict.error("newer state undone", f"{named(later)} after {earlier.message_id}")


def newest_event_counts(facts: Facts, verdict: Verdict) -> None:
    """G9: no alarm that recovers is raised at the end if its newest event is a recovery."""
    for alarm in facts.alarms.values():
        commits = facts.commits(alarm.alarm_id)
        if not alarm.clears or not commits or commits[-1].kind == CLEARED:
            continue
        newest = max(facts.events_on(alarm), key=lambda one: one.oldest, default=None)
        if newest is not None and newest.event.state != alarm.state and _counts(facts, alarm, newest):
            verdict.error("newest event ignored", f"alarm {alarm.alarm_id}, event {newest.event.message_id}")


def _counts(facts: Facts, alarm: Alarm, newest: Published) -> bool:
    """Return True if an event certainly applies to an alarm, and is newer than every other one."""
    others = [one for one in facts.events_on(alarm) if one is not newest]
    return (
        newest.began >= alarm.ended
        and all(one.newest < newest.oldest for one in others)
        and all(one.enabled for one in facts.versions(alarm, newest))
    )


def kinds_follow(facts: Facts, verdict: Verdict) -> None:
    """Order: an alarm is raised, then changed any number of times, then cleared; an edit may reset it."""
    for alarm_id in facts.alarms:
        raised = False
        for row in facts.commits(alarm_id):
            legal = {CHANGED, CLEARED} if raised else {RAISED}
            if facts.edits[alarm_id]:
                legal.add(RAISED)
            if row.kind not in legal:
                verdict.error("wrong kind", f"{named(row)}, expected {sorted(legal)}")
            raised = row.kind != CLEARED
