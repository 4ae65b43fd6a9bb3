"""The check of a history: was anything lost, doubled, reordered, overwritten or shown to another tenant?

Pure functions over the records. Each check answers for one promise; together they hold G1, G2, G4, G5, G9 and
the order of the deliveries of an alarm. What must have happened follows from the events and alarms of the
history, not from what the author of a story expected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from eventalarm.trial.history import delivery_checks, transition_checks, user_checks
from eventalarm.trial.history.facts import LATE, Facts
from eventalarm.trial.history.records import History
from eventalarm.trial.history.verdict import Check, Verdict

CHECKS: Final[Sequence[Check]] = (
    transition_checks.required_transitions,
    transition_checks.single_transitions,
    transition_checks.caused_transitions,
    user_checks.tenants_apart,
    user_checks.edits_apply,
    user_checks.edits_stand,
    transition_checks.event_times,
    transition_checks.late_transitions,
    transition_checks.commits_in_order,
    transition_checks.newest_event_counts,
    transition_checks.kinds_follow,
    delivery_checks.deliveries_complete,
    delivery_checks.repeats_explained,
    delivery_checks.deliveries_in_order,
)


def check(history: History, checks: Collection[Check] | None = None) -> Verdict:
    """Return the verdict of all checks, or only of some."""
    facts, verdict = Facts(history), Verdict()
    _count(facts, verdict)
    for one in CHECKS if checks is None else checks:
        one(facts, verdict)
    return verdict


def _count(facts: Facts, verdict: Verdict) -> None:
    late = sum(row.kind == LATE for row in facts.rows)
    verdict.numbers.update(
        {
            "events": len(facts.events),
            "expected transitions": sum(1 for _ in facts.required()),
            "transitions": len(facts.rows),
            "late transitions": late,
            "expected deliveries": len(facts.rows) - late,
            "deliveries": len(facts.deliveries),
            **Counter(f"deliveries {one.state}" for one in facts.deliveries),
            "POSTs received": len(facts.receipts),
            "edits": sum(map(len, facts.edits.values())),
        }
    )
