"""The checks of deliveries: each arrives, once for its consumer, and in the order of the alarm."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection
from typing import Final

from eventalarm.trial.history.facts import LATE, Facts
from eventalarm.trial.history.records import Delivery, Receipt, Strike
from eventalarm.trial.history.verdict import REPEATED, Verdict, named

# Seconds before a process ended or froze within which it may have received answers that it did not record.
UNRECORDED: Final = 1.0


def deliveries_complete(facts: Facts, verdict: Verdict) -> None:
    """G1, G2: each transition that is not late has one delivery, which came to an end."""
    statuses: dict[str, set[int]] = defaultdict(set)
    for receipt in facts.receipts:
        statuses[receipt.delivery_id].add(receipt.status)
    for row in facts.rows:
        expected, found = int(row.kind != LATE), len(facts.deliveries_of[row.transition_id])
        if found != expected:
            kind = "lost delivery" if found < expected else "doubled delivery row"
            verdict.error(kind, named(row), row.message_id)
    caused_by = {row.transition_id: row.message_id for row in facts.rows}
    for delivery in facts.deliveries:
        found_statuses = statuses.get(delivery.delivery_id, set())
        if problem := _not_ended(facts, delivery, found_statuses):
            verdict.error(*problem, caused_by.get(delivery.transition_id, ""))
    for delivery_id in statuses.keys() - {one.delivery_id for one in facts.deliveries}:
        verdict.error("invented delivery", delivery_id)


def _not_ended(facts: Facts, delivery: Delivery, statuses: Collection[int]) -> tuple[str, str] | None:
    """Return the kind and description of the error of a delivery that did not come to an end."""
    text = f"{delivery.delivery_id} to {delivery.action}: {delivery.state} after {delivery.attempts} attempts"
    given_up = facts.run.gone in statuses or delivery.action.startswith(facts.run.unreliable or ("\0",))
    if delivery.state == "delivered" and facts.run.accepted not in statuses:
        return "lost delivery", f"{text}, but it never arrived"
    if delivery.state == "failed" and not given_up:
        return "lost delivery", f"{text}, though nobody answered {facts.run.gone}"
    if delivery.state not in ("delivered", "failed"):
        return "unfinished delivery", text
    return None


def repeats_explained(facts: Facts, verdict: Verdict) -> None:
    """G2: a consumer accepts a delivery twice only if its sender was struck before it recorded the answer."""
    accepted: dict[str, list[Receipt]] = defaultdict(list)
    for receipt in facts.receipts:
        if receipt.status == facts.run.accepted:
            accepted[receipt.delivery_id].append(receipt)
    for delivery_id, times in accepted.items():
        for earlier, later in itertools.pairwise(times):
            verdict.numbers[REPEATED] += 1
            verdict.repeated.append(delivery_id)
            struck = next((one for one in facts.strikes if _explains(one, earlier, later)), None)
            if struck is not None:
                verdict.numbers[f"{REPEATED}: {struck.name}"] += 1
            else:
                pause = later.began - earlier.began
                text = f"{delivery_id} at {earlier.consumer}, {pause:.2f} s apart"
                verdict.error("doubled delivery", text, later.message_id)


def _explains(strike: Strike, earlier: Receipt, later: Receipt) -> bool:
    """Return True if the process that sent *earlier* was struck before it could record the answer."""
    return (
        earlier.began - UNRECORDED <= strike.ended
        and strike.began <= earlier.ended + UNRECORDED
        and strike.began <= later.began
    )


def deliveries_in_order(facts: Facts, verdict: Verdict) -> None:
    """Order: each action of an alarm receives deliveries in the order of their commits."""
    seq = {one.delivery_id: one.seq for one in facts.deliveries}
    last: dict[tuple[str, str], int] = {}
    seen: set[str] = set()
    for receipt in facts.receipts:
        is_first = receipt.delivery_id in seq and receipt.delivery_id not in seen
        if receipt.status != facts.run.accepted or not is_first:
            continue
        seen.add(receipt.delivery_id)
        place = (receipt.consumer, receipt.path)
        number = seq[receipt.delivery_id]
        if number < last.get(place, 0):
            verdict.error("reordered delivery", f"{receipt.delivery_id} at {receipt.consumer}{receipt.path}")
        last[place] = max(number, last.get(place, 0))
