"""The history of a run: what was published, edited, committed, sent and broken, one JSON object per line.

It uses the standard library only, so that a file can be checked without the programs that wrote it. All times
are seconds since the epoch.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar


class HistoryError(ValueError):
    """A line of a history is not what its writer would have written; the message names line and remedy."""


@dataclass(frozen=True)
class Run:
    """What was run. Deliveries to *unreliable* URL prefixes may be given up; *skew* is how wrong clocks were.

    *gone* is the status that ends a delivery at once, *accepted* the one that counts as received.
    """

    record: ClassVar[str] = "run"
    name: str
    seed: int = 0
    unreliable: tuple[str, ...] = ()
    skew: float = 0.0
    accepted: int = 200
    gone: int = 410


@dataclass(frozen=True)
class Alarm:
    """An alarm on *state* of *resource*; it exists for certain from *ended*, when its creation was answered.

    With *clears* it recovers when an event shows another state; with *repeats* every match is a transition.
    """

    record: ClassVar[str] = "alarm"
    ended: float
    alarm_id: str
    project: str
    resource: str
    state: str
    name: str
    actions: tuple[str, ...]
    enabled: bool = True
    clears: bool = False
    repeats: bool = False


@dataclass(frozen=True)
class Edit:
    """A user's edit: the new values of fields of :class:`Alarm`; ``enabled`` false is also a deletion.

    *ended* is None if no answer came, and then the edit may have been made or not.
    """

    record: ClassVar[str] = "edit"
    began: float
    ended: float | None
    alarm_id: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    deleted: bool = False


@dataclass(frozen=True)
class Event:
    """One event; *generated* is None if it is not known, and then it is the time of publishing."""

    message_id: str
    project: str
    resource: str
    state: str
    generated: float | None = None


@dataclass(frozen=True)
class Publish:
    """One message; *began* is the first attempt, *ended* the broker's confirmation."""

    record: ClassVar[str] = "publish"
    began: float
    ended: float
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Committed:
    """A read of the database at *at*, which showed that these events have transitions."""

    record: ClassVar[str] = "committed"
    at: float
    message_ids: tuple[str, ...]


@dataclass(frozen=True)
class Transition:
    """One transition in the database at the end; *recorded_at* is by the clock of the database."""

    record: ClassVar[str] = "transition"
    transition_id: str
    alarm_id: str
    message_id: str
    kind: str
    event_time: float
    recorded_at: float
    alarm_name: str


@dataclass(frozen=True)
class Delivery:
    """One delivery in the outbox at the end; *seq* is the order of commits."""

    record: ClassVar[str] = "delivery"
    seq: int
    delivery_id: str
    transition_id: str
    action: str
    state: str
    attempts: int


@dataclass(frozen=True)
class Receipt:
    """One POST at a consumer; status 0 means that it was not answered."""

    record: ClassVar[str] = "receipt"
    began: float
    ended: float
    consumer: str
    path: str
    delivery_id: str
    message_id: str
    status: int


@dataclass(frozen=True)
class Strike:
    """The time in which something was broken. Only if it *ends_process*, a result may have been lost with it.

    That is a process that was ended, frozen or cut off between a POST and the record of its answer. If it is
    *survivable*, others must go on without what was broken. *target* is the consumer that misbehaved;
    *taken_over* the seconds until others had taken over what a process held; *alone* means that nothing else
    was broken meanwhile.
    """

    record: ClassVar[str] = "strike"
    began: float
    ended: float
    name: str = "strike"
    ends_process: bool = True
    survivable: bool = False
    target: str = ""
    taken_over: float | None = None
    alone: bool = True


@dataclass(frozen=True)
class Final:
    """An alarm in the database at the end; *exists* is false if it is not there."""

    record: ClassVar[str] = "final"
    alarm_id: str
    exists: bool
    fields: Mapping[str, Any] = field(default_factory=dict)


Record = Run | Alarm | Edit | Publish | Committed | Transition | Delivery | Receipt | Strike | Final
RECORDS: Mapping[str, type[Any]] = {
    one.record: one
    for one in (Run, Alarm, Edit, Publish, Committed, Transition, Delivery, Receipt, Strike, Final)
}
R = TypeVar("R")


@dataclass
class History:
    """All records of a run, in the order in which they were written; safe to share between threads."""

    records: list[Record] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, *records: Record) -> None:
        """Append records."""
        with self._lock:
            self.records += records

    def of(self, kind: type[R]) -> list[R]:
        """Return the records of one kind."""
        with self._lock:
            return [one for one in self.records if isinstance(one, kind)]

    def write(self, path: pathlib.Path) -> None:
        """Write the file; the folder is created if it does not exist."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file, self._lock:
            file.writelines(f"{line(one)}\n" for one in self.records)


def line(record: Record) -> str:
    """Return a record as one line."""
    return json.dumps({"record": record.record, **dataclasses.asdict(record)}, ensure_ascii=False)


def parse(lines: Iterable[str]) -> History:
    """Return the history that *lines* hold.

    :raises HistoryError: naming the line, if one is not a record.
    """
    return History([_record(number, text) for number, text in enumerate(lines, 1)])


def read(path: pathlib.Path) -> History:
    """Return the history of a file.

    :raises HistoryError: as :func:`parse`.
    """
    with path.open(encoding="utf-8") as file:
        return parse(file)


def _record(number: int, text: str) -> Record:
    try:
        found = json.loads(text)
        kind = RECORDS[found.pop("record")]
        if kind is Publish:
            found["events"] = tuple(Event(**event) for event in found["events"])
        made: Record = kind(**{name: _frozen(value) for name, value in found.items()})
    except KeyError as exc:
        raise HistoryError(
            f"line {number}: unknown or missing record {exc}; known: {', '.join(RECORDS)}"
        ) from exc
    except (ValueError, TypeError, AttributeError) as exc:
        raise HistoryError(f"line {number} is not a record of a history: {exc}") from exc
    return made


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
