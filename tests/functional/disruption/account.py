"""The account: what the stories require, compared with the database and the consumers. Pure functions."""

from __future__ import annotations

import datetime
import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.functional.disruption.consumers import ANSWERS, GONE, OK, TRAP, Receipt
from tests.functional.disruption.stories import LATE, Outcome, Story

# Seconds before a process died or froze within which it may have received answers that it did not record.
UNRECORDED = 1.0
MOST_NAMED = 20
REPEATED = "accepted POSTs repeated"


@dataclass(frozen=True)
class Row:
    """One row of ``eventalarm_transition``; times are naive UTC, or anything that can be compared."""

    transition_id: str
    alarm_id: str
    message_id: str
    kind: str
    event_time: datetime.datetime
    recorded_at: datetime.datetime
    alarm_name: str


@dataclass(frozen=True)
class StoredDelivery:
    """One row of ``eventalarm_delivery``."""

    seq: int
    delivery_id: str
    transition_id: str
    action: str
    state: str
    attempts: int


@dataclass(frozen=True)
class Blow:
    """The time, in epoch seconds, in which a process was ended, frozen or cut off."""

    began: float
    ended: float
    name: str = "blow"


@dataclass
class Account:
    """Totals, descriptions of errors, and the ids of the deliveries that were accepted more than once."""

    numbers: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    repeated: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """True if nothing was lost, duplicated, invented or out of order."""
        return not self.errors

    def error(self, kind: str, text: str) -> None:
        """Count an error; the first twenty of a kind are described."""
        self.errors[kind] += 1
        if self.errors[kind] <= MOST_NAMED:
            self.problems.append(f"{kind}: {text}")


def settle(
    stories: Iterable[Story],
    rows: Sequence[Row],
    deliveries: Sequence[StoredDelivery],
    receipts: Sequence[Receipt],
    blows: Sequence[Blow],
) -> Account:
    """Compare everything, after all work has ended."""
    account = Account()
    _transitions(account, list(stories), rows)
    _lateness(account, rows)
    _deliveries(account, rows, deliveries, receipts)
    _repeats(account, receipts, blows)
    _order(account, deliveries, receipts)
    return account


def _transitions(account: Account, stories: Sequence[Story], rows: Sequence[Row]) -> None:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        found[row.alarm_id, row.message_id].append(row.kind)
    account.numbers["stories"] += len(stories)
    account.numbers["transitions"] += len(rows)
    for story in stories:
        account.numbers["events"] += len(story.messages)
        kinds = {message: found.pop((story.alarm_id, message), []) for message in story.messages}
        outcome = next((one for one in story.outcomes if _fits(one, kinds)), None)
        account.numbers["expected transitions"] += len(outcome or story.outcomes[0])
        if outcome is None:
            _blame(account, story, kinds)
    for key, unknown in found.items():
        account.error("invented transition", f"alarm {key[0]}, event {key[1]}: {unknown}")


def _fits(outcome: Outcome, kinds: Mapping[str, list[str]]) -> bool:
    return all(
        len(came) == (message in outcome) and set(came) <= outcome.get(message, frozenset())
        for message, came in kinds.items()
    )


def _blame(account: Account, story: Story, kinds: Mapping[str, list[str]]) -> None:
    outcome = story.outcomes[0]
    for message, came in kinds.items():
        text = f"{story.name}, alarm {story.alarm_id}, event {message}: {came}"
        if len(came) > 1:
            account.error("doubled transition", text)
        elif message in outcome and not came:
            account.error("lost transition", text)
        elif came and message not in outcome:
            account.error("invented transition", text)
        elif came and came[0] not in outcome[message]:
            account.error("wrong transition", f"{text}, expected {sorted(outcome[message])}")


def _lateness(account: Account, rows: Sequence[Row]) -> None:
    """Check that a newer transition came before each late one."""
    newest: dict[str, datetime.datetime] = {}
    for row in rows:
        if row.kind != LATE:
            newest[row.alarm_id] = max(newest.get(row.alarm_id, row.event_time), row.event_time)
    for row in rows:
        if row.kind == LATE:
            account.numbers["late transitions"] += 1
            # A recovery that only confirms leaves no row, so races are checked by their outcomes.
            if row.alarm_id in newest and row.event_time >= newest[row.alarm_id]:
                account.error("wrong transition", f"event {row.message_id} is not late")


def _deliveries(
    account: Account, rows: Sequence[Row], deliveries: Sequence[StoredDelivery], receipts: Sequence[Receipt]
) -> None:
    answers: dict[str, set[int]] = defaultdict(set)
    for receipt in receipts:
        answers[receipt.delivery_id].add(receipt.status)
        if receipt.path == TRAP:
            account.error("redirect followed", receipt.consumer)
    of_transition = Counter(delivery.transition_id for delivery in deliveries)
    account.numbers["deliveries"] += len(deliveries)
    account.numbers["POSTs received"] += len(receipts)
    for row in rows:
        expected = 0 if row.kind == LATE else 1
        account.numbers["expected deliveries"] += expected
        if of_transition[row.transition_id] != expected:
            kind = "lost delivery" if of_transition[row.transition_id] < expected else "doubled delivery row"
            account.error(kind, f"event {row.message_id}, {row.kind}")
    for delivery in deliveries:
        _check_delivery(account, delivery, answers.get(delivery.delivery_id, set()))
    for delivery_id in answers.keys() - {delivery.delivery_id for delivery in deliveries}:
        account.error("invented delivery", delivery_id)


def _check_delivery(account: Account, delivery: StoredDelivery, answers: Collection[int]) -> None:
    account.numbers[f"deliveries {delivery.state}"] += 1
    accepted, gone = ANSWERS[OK][0] in answers, ANSWERS[GONE][0] in answers
    text = f"{delivery.delivery_id} to {delivery.action}: {delivery.state} after {delivery.attempts} attempts"
    if delivery.state == "delivered" and not accepted:
        account.error("lost delivery", f"{text}, but it never arrived")
    elif delivery.state == "failed" and not gone:
        account.error("lost delivery", f"{text}, though nobody answered 410")
    elif delivery.state not in ("delivered", "failed"):
        account.error("unfinished delivery", text)


def _repeats(account: Account, receipts: Sequence[Receipt], blows: Sequence[Blow]) -> None:
    accepted: dict[str, list[Receipt]] = defaultdict(list)
    for receipt in receipts:
        if receipt.status == ANSWERS[OK][0]:
            accepted[receipt.delivery_id].append(receipt)
    for delivery_id, times in accepted.items():
        if len(times) == 1:
            continue
        account.numbers[REPEATED] += len(times) - 1
        times.sort(key=lambda one: one.began)
        for earlier, later in itertools.pairwise(times):
            struck = next((blow for blow in blows if _explains(blow, earlier, later)), None)
            account.repeated.append(delivery_id)
            if struck is not None:
                account.numbers[f"{REPEATED}: {struck.name}"] += 1
            else:
                pause = later.began - earlier.began
                account.error("doubled delivery", f"{delivery_id} at {earlier.consumer}, {pause:.2f} s apart")


def _explains(blow: Blow, earlier: Receipt, later: Receipt) -> bool:
    """Return True if the process that sent *earlier* was struck before it could record the answer."""
    return (
        earlier.began - UNRECORDED <= blow.ended
        and blow.began <= earlier.ended + UNRECORDED
        and (blow.began <= later.began)
    )


def _order(account: Account, deliveries: Sequence[StoredDelivery], receipts: Sequence[Receipt]) -> None:
    """Check that each action of an alarm receives deliveries in the order of their commits."""
    seq = {row.delivery_id: row.seq for row in deliveries}
    last: dict[tuple[str, str], int] = {}
    seen: set[str] = set()
    for receipt in sorted(receipts, key=lambda one: one.began):
        known = receipt.delivery_id in seq and receipt.delivery_id not in seen
        if receipt.status != ANSWERS[OK][0] or not known:
            continue
        seen.add(receipt.delivery_id)
        place = (receipt.consumer, receipt.path)
        number = seq[receipt.delivery_id]
        if number < last.get(place, 0):
            account.error("reordered delivery", f"{receipt.delivery_id} at {receipt.consumer}{receipt.path}")
        last[place] = max(number, last.get(place, 0))


def commits_in_order(account: Account, rows: Sequence[Row], deliveries: Sequence[StoredDelivery]) -> None:
    """Check that the transitions of each alarm were committed in the order of their event times (G9)."""
    seq = {row.transition_id: row.seq for row in deliveries}
    fired: dict[str, list[tuple[int, Row]]] = defaultdict(list)
    for row in rows:
        if row.kind != LATE and row.transition_id in seq:
            fired[row.alarm_id].append((seq[row.transition_id], row))
    for alarm_id, committed in fired.items():
        committed.sort(key=lambda one: one[0])
        times = [row.event_time for _, row in committed]
        if times != sorted(times):
            account.error("reordered transition", f"alarm {alarm_id}")


def edits_stand(
    account: Account,
    edits: Iterable[Any],
    alarms: Mapping[str, Mapping[str, Any]],
    fired: Mapping[str, tuple[str, str]],
) -> None:
    """Check that the last edits of users are in the database (G4), and that later transitions used them.

    *alarms* are the remaining rows by id, *fired* the alarm name and the action by message id.
    """
    for edit in edits:
        account.numbers["edits"] += 1
        row = alarms.get(edit.alarm_id)
        if edit.kind == "delete":
            if row is not None:
                account.error("edit lost", f"{edit.alarm_id} is not deleted")
            continue
        if row is None or any(row[name] != value for name, value in edit.fields.items()):
            account.error("edit lost", f"{edit.alarm_id}: {edit.fields}")
        name, action = fired.get(edit.message_id, ("", ""))
        if edit.kind == "rename" and name != edit.fields["name"]:
            account.error("edit ignored", f"{edit.alarm_id} fired as {name}")
        if edit.kind == "retarget" and [action] != edit.fields["alarm_actions"]:
            account.error("edit ignored", f"{edit.alarm_id} called {action}")
