"""The verdict on a history: the kinds of error, and the guarantee that each breaks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from eventalarm.trial.history.facts import Facts
from eventalarm.trial.history.records import Transition

MOST_NAMED: Final = 20
REPEATED: Final = "accepted POSTs repeated"
ORDER: Final = "order"
# Each kind of error, and the guarantee that it breaks.
ERRORS: Final = {
    "lost transition": "G1",
    "lost delivery": "G1",
    "unfinished delivery": "G1",
    "doubled transition": "G2",
    "invented transition": "G2",
    "doubled delivery row": "G2",
    "doubled delivery": "G2",
    "invented delivery": "G2",
    "edit lost": "G4",
    "edit ignored": "G4",
    "cross-tenant transition": "G5",
    "cross-tenant delivery": "G5",
    "redirect followed": "G5",
    "wrong event time": "G9",
    "not late": "G9",
    "newer state undone": "G9",
    "newest event ignored": "G9",
    "wrong kind": ORDER,
    "reordered delivery": ORDER,
}
LOST: Final = ("lost transition", "lost delivery", "unfinished delivery")
DOUBLED: Final = ("doubled transition", "doubled delivery row", "doubled delivery")


@dataclass
class Verdict:
    """Totals, descriptions of errors, and the ids of the deliveries that were accepted more than once.

    ``blamed`` has, by kind, the message id of the event of each error about one event.
    """

    numbers: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    repeated: list[str] = field(default_factory=list)
    blamed: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def right(self) -> bool:
        """True if nothing was lost, duplicated, invented, overwritten or out of order."""
        return not self.errors

    @property
    def counts(self) -> dict[str, float]:
        """The numbers of events, transitions and deliveries, as figures of a report."""
        return {name: float(self.numbers[name]) for name in ("events", "transitions", "deliveries")}

    def error(self, kind: str, text: str, message_id: str = "") -> None:
        """Count an error, of the event *message_id* if given; the first twenty of a kind are described."""
        self.errors[kind] += 1
        if message_id:
            self.blamed[kind].append(message_id)
        if self.errors[kind] <= MOST_NAMED:
            self.problems.append(f"{ERRORS[kind]}: {kind}: {text}")


Check = Callable[[Facts, Verdict], None]


def named(row: Transition) -> str:
    """Return the words for a transition in a description."""
    return f"alarm {row.alarm_id}, event {row.message_id}, {row.kind}"
