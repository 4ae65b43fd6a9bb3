"""Checkpoints: when an event passed each stage, and what its reporter and its consumers add to that."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from eventalarm.model.events import Event, parse_time

# The traits by which a reporter adds checkpoints, and has an event profiled whatever the sampling.
CHECKPOINTS_TRAIT: Final = "checkpoints"
FORCED_TRAIT: Final = "profile"
NOT_FORCED: Final = frozenset({"", "0", "false", "no", "off"})

MAX_CHECKPOINTS: Final = 16
NAME_LENGTH: Final = 64


class Stage(enum.StrEnum):
    """The stages of an event, in their order; each names what has just been done with the event."""

    GENERATED = "generated"
    PUBLISHED = "published"
    RECEIVED = "received"
    MATCHED = "matched"
    COMMITTED = "committed"
    SENT = "sent"
    ANSWERED = "answered"


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """The end of something that was done; ``time`` is in seconds since 1970, UTC, by its host's clock."""

    name: str
    time: float


class Arrival(NamedTuple):
    """When a message was taken from the bus (seconds since 1970), and the message. Made for every message."""

    received: float
    message: Mapping[str, Any]


class Profile:
    """The checkpoints of one event; each process on its way adds its own.

    Not thread-safe: the evaluator passes it on to the delivery worker with the committed deliveries.

    :param times: seconds since 1970, each by the clock of the host that took it.
    :param reporter: the checkpoints of the reporter of the event.
    :param publisher: the id of the process that put the event on the bus.
    """

    __slots__ = ("publisher", "reporter", "times")

    def __init__(
        self, times: Mapping[Stage, float], reporter: Iterable[Checkpoint] = (), publisher: str = ""
    ) -> None:
        self.times = dict(times)
        self.reporter = tuple(reporter)
        self.publisher = publisher

    def mark(self, stage: Stage, at: float) -> None:
        """Record that *stage* ended; the last time of a repeated stage counts, which led to the rest."""
        self.times[stage] = at

    def sent(self, sent: float, answered: float) -> Profile:
        """Return the profile of one delivery of the event, which its consumer accepted."""
        times = {**self.times, Stage.SENT: sent, Stage.ANSWERED: answered}
        return Profile(times, self.reporter, self.publisher)

    def text(self) -> str:
        """Return the profile as it is stored."""
        times = {stage.value: round(self.times[stage], 6) for stage in Stage if stage in self.times}
        known = {"times": times, "reporter": as_pairs(self.reporter), "publisher": self.publisher}
        return json.dumps({name: value for name, value in known.items() if value})

    @classmethod
    def parse(cls, text: str | None) -> Profile | None:
        """Return the profile in a stored text; None if there is none or it cannot be read."""
        try:
            known = json.loads(text) if text else None
            if known is None:
                return None
            times = {Stage(name): float(at) for name, at in known["times"].items()}
            return cls(times, from_pairs(known.get("reporter", ())), str(known.get("publisher", "")))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def as_pairs(checkpoints: Iterable[Checkpoint]) -> list[list[Any]]:
    """Return checkpoints as they are stored: pairs of a name and a time."""
    return [[one.name, round(one.time, 6)] for one in checkpoints]


def from_pairs(pairs: Iterable[Sequence[Any]]) -> tuple[Checkpoint, ...]:
    """Return the checkpoints that :func:`as_pairs` stored."""
    return tuple(Checkpoint(str(name), float(at)) for name, at in pairs)


def read_checkpoints(value: object) -> tuple[Checkpoint, ...]:
    """Return the checkpoints in JSON of a reporter or consumer, or in its text.

    :param value: a list of objects ``{name, time}``, or one object with a time for each name.
    :raises ValueError: saying what is wrong and what is expected.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as exc:
            raise ValueError('is not JSON; give {"name": "ISO 8601 time"}') from exc
    if isinstance(value, Mapping):
        value = [{"name": name, "time": time} for name, time in value.items()]
    if not isinstance(value, list):
        raise ValueError("must be a list of objects {name, time}, or an object {name: time}")
    if len(value) > MAX_CHECKPOINTS:
        raise ValueError(f"has {len(value)} checkpoints; give at most {MAX_CHECKPOINTS}")
    return tuple(_read_checkpoint(one) for one in value)


def _read_checkpoint(one: object) -> Checkpoint:
    if not isinstance(one, Mapping) or set(one) != {"name", "time"}:
        raise ValueError("each checkpoint must be an object {name, time}")
    name = one["name"]
    if not isinstance(name, str) or not name.strip() or len(name) > NAME_LENGTH or not name.isprintable():
        raise ValueError(f"the name of a checkpoint must be 1 to {NAME_LENGTH} printable characters")
    try:
        return Checkpoint(name, parse_time(one["time"]).timestamp())
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"the time of checkpoint {name!r}: {exc}; give an ISO 8601 time") from exc


def is_forced(event: Event) -> bool:
    """Return True if the trait ``profile`` of an event asks for its profile."""
    if not event.has_trait(FORCED_TRAIT):
        return False
    return str(event.trait(FORCED_TRAIT)).strip().lower() not in NOT_FORCED


def begin_profile(event: Event, matched: float) -> Profile:
    """Return a new profile of an event that was matched at a time, in seconds since 1970."""
    times = {Stage.MATCHED: matched}
    message: Mapping[str, Any] = {}
    if event.arrival is not None:
        times[Stage.RECEIVED], message = event.arrival
    for stage, text in (
        (Stage.GENERATED, event.body.get("generated")),
        (Stage.PUBLISHED, message.get("timestamp")),
    ):
        moment = _seconds(text)
        if moment is not None:
            times[stage] = moment
    reporter: tuple[Checkpoint, ...] = ()
    if event.has_trait(CHECKPOINTS_TRAIT):
        try:
            reporter = read_checkpoints(event.trait(CHECKPOINTS_TRAIT))
        except ValueError:
            # Whoever sends events past the ingest API is not told; the trait of the event shows it.
            reporter = ()
    return Profile(times, reporter, str(message.get("publisher_id") or "")[:NAME_LENGTH])


def _seconds(text: object) -> float | None:
    try:
        return parse_time(text).timestamp()
    except (ValueError, OverflowError):
        return None


def mark_profiles(stage: Stage, events: Iterable[Event], at: float) -> None:
    """Record that *stage* ended *at* (seconds since 1970) for those of *events* that are profiled."""
    for event in events:
        if event.profile is not None:
            event.profile.mark(stage, at)
