"""What each kind of disruption did, beside ETSI's service availability levels; from a history alone."""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from eventalarm.trial.history.facts import Facts
from eventalarm.trial.history.records import History, Strike
from eventalarm.trial.history.verdict import DOUBLED, LOST, Verdict

# ETSI GS NFV-REL 001 V1.1.1, as OPNFV's availability project quotes it: the longest recovery and the longest
# detection in seconds at service availability levels 1, 2 and 3.
RECOVERIES: Final = (6.0, 15.0, 25.0)
DETECTIONS: Final = (1.0, 5.0, 10.0)
# Seconds before a disruption in which an event may not become a webhook in time, and after it, in which what
# waited meanwhile is worked off.
AROUND: Final = 1.0
UNDISTURBED: Final = "undisturbed"
HEADINGS: Final = (
    *("disruption", "times", "events", "lost", "doubled"),
    *("event to webhook, median / p99", "recovery, median / worst", "level"),
)
NOTHING: Final = "\N{EN DASH}"


def level(seconds: float, longest: Sequence[float] = RECOVERIES) -> str:
    """Return the service availability level of a recovery, or of what may take as *longest* at each level."""
    place = bisect.bisect_left(longest, seconds)
    return f"SAL {place + 1}" if place < len(longest) else "none"


@dataclass(frozen=True)
class Availability:
    """One row: the disruptions of one name, and the events that were published during them.

    *lost* and *doubled* are the errors of the verdict about these events. Seconds: *detection* is from an
    event to its first accepted webhook, *recovery* what :func:`recovery` returns for each disruption.
    """

    disruption: str
    times: int
    events: int
    lost: int
    doubled: int
    detection: tuple[float, ...]
    recovery: tuple[float, ...]

    @property
    def level(self) -> str:
        """The service availability level: of the worst recovery, or of detection if nothing was broken."""
        if self.recovery:
            return level(max(self.recovery))
        is_calm = self.disruption == UNDISTURBED and self.detection
        return level(_percentile(self.detection, 99), DETECTIONS) if is_calm else NOTHING


def availability(history: History, verdict: Verdict) -> list[Availability]:
    """Return the row of the undisturbed events, then one for each name of a disruption.

    An event belongs to every disruption that lasted within a second of its publishing; to one of a consumer
    only if that received it, or nobody did.
    """
    facts = Facts(history)
    webhooks = _Webhooks(facts)
    strikes = history.of(Strike)
    targets = {one.target for one in strikes if one.target}
    broken = set(_during([one for one in strikes if not one.target], facts, webhooks))
    calm = [one for one in facts.events if one not in broken and webhooks.consumer.get(one) not in targets]
    rows = [_row(UNDISTURBED, (), calm, facts, webhooks=webhooks, verdict=verdict)]
    for name in sorted({one.name for one in strikes}):
        alike = [one for one in strikes if one.name == name]
        events = _during(alike, facts, webhooks)
        rows.append(_row(name, alike, events, facts, webhooks=webhooks, verdict=verdict))
    return rows


def recovery(strike: Strike, webhooks: Sequence[float]) -> float | None:
    """Return the seconds until there were *webhooks* (their moments in order) again; None if never.

    They count from the end of the disruption. If it is *survivable*, others must go on meanwhile, and the
    longest time without a webhook counts, from its beginning to the first one after it. What was taken over
    from a process counts too.
    """
    place = bisect.bisect_left(webhooks, strike.ended)
    after = webhooks[place : place + 1]
    found = [] if strike.taken_over is None else [strike.taken_over]
    if strike.survivable:
        since = bisect.bisect_left(webhooks, strike.began)
        known = [strike.began, *webhooks[since:place], *(after or [strike.ended])]
        found.append(max(later - earlier for earlier, later in itertools.pairwise(known)))
    else:
        found += [one - strike.ended for one in after]
    return max(found, default=None)


def cells(row: Availability) -> tuple[str, ...]:
    """Return a row as text, in the order of ``HEADINGS``."""
    detection, recoveries = NOTHING, NOTHING
    if row.detection:
        detection = f"{statistics.median(row.detection):.3f} / {_percentile(row.detection, 99):.3f}"
    if row.recovery:
        recoveries = f"{statistics.median(row.recovery):.2f} / {max(row.recovery):.2f}"
    numbers = (row.times, row.events, row.lost, row.doubled)
    return (row.disruption, *(f"{number:,}" for number in numbers), detection, recoveries, row.level)


class _Webhooks:
    """The accepted POSTs: the first of each event and its consumer, and the moments of each consumer."""

    def __init__(self, facts: Facts) -> None:
        self.first: dict[str, float] = {}
        self.consumer: dict[str, str] = {}
        self._of: dict[str, list[float]] = {"": []}
        for one in facts.receipts:
            if one.status == facts.run.accepted:
                self.first.setdefault(one.message_id, one.began)
                self.consumer.setdefault(one.message_id, one.consumer)
                self._of[""].append(one.began)
                self._of.setdefault(one.consumer, []).append(one.began)

    def of(self, target: str) -> Sequence[float]:
        """Return the moments for a consumer, or for all if *target* is empty."""
        return self._of.get(target, ())


def _during(strikes: Sequence[Strike], facts: Facts, webhooks: _Webhooks) -> list[str]:
    return [
        name
        for name, published in facts.events.items()
        if any(
            one.began - AROUND <= published.began <= one.ended + AROUND
            and (not one.target or webhooks.consumer.get(name, one.target) == one.target)
            for one in strikes
        )
    ]


def _row(
    name: str,
    strikes: Sequence[Strike],
    events: Sequence[str],
    facts: Facts,
    *,
    webhooks: _Webhooks,
    verdict: Verdict,
) -> Availability:
    measured = (recovery(one, webhooks.of(one.target)) for one in strikes if one.alone)
    among = set(events)
    return Availability(
        name,
        len(strikes),
        len(events),
        _blamed(verdict, LOST, among),
        _blamed(verdict, DOUBLED, among),
        tuple(webhooks.first[one] - facts.events[one].began for one in events if one in webhooks.first),
        tuple(one for one in measured if one is not None),
    )


def _blamed(verdict: Verdict, kinds: Iterable[str], events: set[str]) -> int:
    return sum(message_id in events for kind in kinds for message_id in verdict.blamed[kind])


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[max(1, math.ceil(len(values) * share / 100)) - 1]
