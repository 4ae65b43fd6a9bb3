"""Whether a contender did its work: expected webhooks, received webhooks, and the state in the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from eventalarm.trial.own_cloud.load.workload import Hit


@dataclass(frozen=True)
class Tally:
    """The webhooks of one measurement; ``transitions`` is None if the database was not queried.

    ``doubled`` counts receptions after the first of each hit, ``unexpected`` those without a matching hit.
    """

    expected: int
    received: int
    doubled: int
    missing: int
    unexpected: int
    transitions: int | None = None

    @property
    def right(self) -> bool:
        """True if every hit was received exactly once, nothing else was received, and the database agrees."""
        agreed = self.transitions is None or self.transitions == self.expected
        return agreed and not (self.doubled or self.missing or self.unexpected)

    def __str__(self) -> str:
        parts = [f"{self.received:,} of {self.expected:,}"]
        for name in ("doubled", "missing", "unexpected"):
            number = getattr(self, name)
            if number:
                parts.append(f"{number:,} {name}")
        if self.transitions is not None and self.transitions != self.expected:
            parts.append(f"{self.transitions:,} transitions in the database")
        return ", ".join(parts)


def overtaken(owed: Iterable[Hit], late: Collection[Hit]) -> set[Hit]:
    """Return those of the *late* after which, in the order of *owed*, the same alarm fires again.

    With several processes a later event of an alarm may be evaluated first; the earlier one then changes
    nothing and is recorded as late (G9). No webhook is expected for it.
    """
    again: set[str] = set()
    found: set[Hit] = set()
    for hit in reversed(list(owed)):
        if hit in late and hit[0] in again:
            found.add(hit)
        again.add(hit[0])
    return found


def tally(expected: Iterable[Hit], received: Iterable[Hit], transitions: int | None = None) -> Tally:
    """Compare the expected hits with those that arrived."""
    owed, came = Counter(expected), Counter(received)
    return Tally(
        expected=owed.total(),
        received=came.total(),
        doubled=sum(number - owed[hit] for hit, number in came.items() if hit in owed and number > owed[hit]),
        missing=(owed - came).total(),
        unexpected=sum(number for hit, number in came.items() if hit not in owed),
        transitions=transitions,
    )


def add(tallies: Iterable[Tally]) -> Tally | None:
    """Return the sum of several tallies, or None if there are none."""
    total: Tally | None = None
    for one in tallies:
        if total is None:
            total = one
            continue
        known = total.transitions is not None and one.transitions is not None
        total = Tally(
            total.expected + one.expected,
            total.received + one.received,
            total.doubled + one.doubled,
            total.missing + one.missing,
            total.unexpected + one.unexpected,
            (total.transitions or 0) + (one.transitions or 0) if known else None,
        )
    return total
