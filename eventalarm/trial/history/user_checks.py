"""The checks of what users see: edits apply and stay, and no tenant sees another."""

from __future__ import annotations

import urllib.parse
from typing import Any, Final

from eventalarm.trial.history.facts import Facts
from eventalarm.trial.history.verdict import Verdict, named

# Where a consumer redirects to; nothing may follow.
TRAP: Final = "/-/trap"


def tenants_apart(facts: Facts, verdict: Verdict) -> None:
    """G5: an event changes only alarms of its project, and a delivery goes to an action of its alarm."""
    for row in facts.rows:
        alarm, published = facts.alarms.get(row.alarm_id), facts.events.get(row.message_id)
        if alarm is None or published is None:
            continue
        if published.event.project != alarm.project:
            verdict.error("cross-tenant transition", f"{named(row)} of project {published.event.project}")
        for delivery in facts.deliveries_of[row.transition_id]:
            owners = facts.project_of_action.get(delivery.action, set())
            if owners and alarm.project not in owners:
                verdict.error("cross-tenant delivery", f"{delivery.delivery_id} to {delivery.action}")
    paths = {one.delivery_id: urllib.parse.urlparse(one.action).path for one in facts.deliveries}
    for receipt in facts.receipts:
        if receipt.path == TRAP:
            verdict.error("redirect followed", receipt.consumer)
        elif receipt.path != paths.get(receipt.delivery_id, receipt.path):
            verdict.error("cross-tenant delivery", f"{receipt.delivery_id} at {receipt.path}")


def edits_apply(facts: Facts, verdict: Verdict) -> None:
    """G4: what is published after an edit is evaluated against the edited alarm."""
    for row in facts.rows:
        alarm, published = facts.alarms.get(row.alarm_id), facts.events.get(row.message_id)
        if alarm is None or published is None:
            continue
        versions = [one for one in facts.versions(alarm, published) if one.enabled]
        deliveries = facts.deliveries_of[row.transition_id]
        if not versions:
            verdict.error("edit ignored", f"{named(row)} fired, though the alarm is disabled or deleted")
        elif row.alarm_name not in {one.name for one in versions}:
            verdict.error("edit ignored", f"{named(row)} fired as {row.alarm_name}")
        elif any(one.action not in {url for v in versions for url in v.actions} for one in deliveries):
            verdict.error("edit ignored", f"{named(row)} called {[one.action for one in deliveries]}")


def edits_stand(facts: Facts, verdict: Verdict) -> None:
    """G4: at the end each alarm is as its last answered edit left it, unless a later one was not answered."""
    for alarm_id, edits in facts.edits.items():
        final = facts.finals.get(alarm_id)
        expected: dict[str, set[str]] = {}
        exists = {True}
        for edit in edits:
            is_certain = edit.ended is not None
            for name, value in edit.fields.items():
                expected[name] = {_plain(value)} | (set() if is_certain else expected.get(name, {"?"}))
            if edit.deleted:
                exists = {False} if is_certain else {True, False}
        if final is None or not edits:
            continue
        if final.exists not in exists:
            verdict.error("edit lost", f"{alarm_id} {'exists' if final.exists else 'is gone'}")
        for name, values in expected.items() if final.exists else ():
            if _plain(final.fields.get(name)) not in values and "?" not in values:
                verdict.error("edit lost", f"{alarm_id}: {name} is {final.fields.get(name)!r}")


def _plain(value: Any) -> str:
    return repr(list(value)) if isinstance(value, list | tuple) else repr(value)
