"""The plain data that crosses the borders between rooms: events, alarms, transitions, deliveries.

All times are aware UTC datetimes unless a name says otherwise. Dicts from the bus or the database stop here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import enum
import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

from dateutil import parser as date_parser

from eventalarm.exceptions import InvalidEvent

UTC: Final = datetime.UTC

OK: Final = "ok"
ALARM: Final = "alarm"
UNKNOWN: Final = "insufficient data"

STRING, INTEGER, FLOAT, DATETIME = 1, 2, 3, 4

# No date is longer than this.
LONGEST_TIME: Final = 80
DIGITS: Final = frozenset("0123456789")

# Names of (alarm, managed object) pairs; never change it, consumers keep the ids.
OBJECT_NAMESPACE: Final = uuid.UUID("6b1f3c52-8d0e-5c4b-9d57-0d6a3f1f7e21")
# What X.733 calls the severities of a fault that stands.
FAULT_SEVERITIES: Final = frozenset({"CRITICAL", "MAJOR", "MINOR", "WARNING", "INDETERMINATE"})
SYNONYMS: Final = {"INFO": "WARNING", "INFORMATIONAL": "WARNING", "WARN": "WARNING"}

LISTS: Final = frozenset({list, tuple})

JSONDict = dict[str, Any]
TraitValue = str | int | float | datetime.datetime


def parse_time(value: object) -> datetime.datetime:
    """Return *value* (ISO 8601 text or a datetime; naive means UTC) as an aware UTC datetime.

    :raises ValueError: when the text is not a date.
    """
    if isinstance(value, str):
        try:
            moment = datetime.datetime.fromisoformat(value)
        except ValueError:
            try:
                moment = date_parser.isoparse(_with_two_digits(value.strip()))
            except (ValueError, OverflowError) as exc:
                raise ValueError(f"not an ISO 8601 date: {value[:80]!r}") from exc
    elif isinstance(value, datetime.datetime):
        moment = value
    else:
        raise ValueError(f"not an ISO 8601 date: {type(value).__name__}")
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as exc:
        raise ValueError("date out of range") from exc


def _with_two_digits(text: str) -> str:
    """Return *text* with months, days and seconds of one digit filled up, as in 2026-5-1.

    That is not ISO 8601, but Aodh reads it.
    """
    if len(text) > LONGEST_TIME:
        raise ValueError("longer than a date")
    pieces = []
    for place, character in enumerate(text):
        begins = character in DIGITS and text[place - 1 : place] in ("-", ":")
        pieces.append("0" if begins and text[place + 1 : place + 2] not in DIGITS else "")
        pieces.append(character)
    return "".join(pieces)


def convert(value: object, dtype: object) -> TraitValue:
    """Convert a trait or query value to its type, as Aodh's event evaluator does.

    :raises ValueError: when it cannot be converted (Aodh raises there; we skip the trait).
    """
    try:
        if dtype in (INTEGER, "integer"):
            return int(value)  # type: ignore[call-overload, no-any-return]
        if dtype in (FLOAT, "float"):
            return float(value)  # type: ignore[arg-type]
        if dtype in (DATETIME, "datetime"):
            return parse_time(value)
        return str(value)
    except (TypeError, OverflowError, RecursionError) as exc:
        raise ValueError(str(exc)) from exc


@dataclasses.dataclass(frozen=True, slots=True)
class EventLimits:
    """How large an event may be, so that its evaluation takes bounded time.

    An event with more than ``traits`` traits is refused, and one whose ``message_id`` or ``event_type`` is
    longer than ``key`` characters; a text longer than ``text`` characters counts as absent, since every
    comparison takes time in proportion to it.
    """

    traits: int = 10000
    text: int = 16384
    key: int = 1024


DEFAULT_LIMITS: Final = EventLimits()


class Event:
    """One Ceilometer event as it came from the bus; traits are converted when first asked for.

    ``body`` is the event exactly as received and must not be changed. A trait that cannot be converted is
    treated as absent and listed in ``bad_traits``; the other traits still count (guarantee G6).
    Where a trait name repeats, the last one counts, as in Aodh. ``owner_trait`` is what the publisher sent
    along: which of ``project_id`` and ``tenant_id`` names the owner where they differ; empty: it did not.
    """

    __slots__ = (
        "_json",
        "_longest",
        "_raw",
        "_values",
        "bad_traits",
        "body",
        "event_type",
        "message_id",
        "owner_trait",
    )

    def __init__(self, body: JSONDict, longest: int = DEFAULT_LIMITS.text) -> None:
        self.body = body
        self._json = ""
        self._longest = longest
        self.message_id: str = body["message_id"]
        self.event_type: str = body["event_type"]
        self.owner_trait = ""
        self.bad_traits: list[str] = []
        self._values: dict[str, TraitValue | None] = {}
        self._raw = self._read_traits(body.get("traits"))

    @classmethod
    def parse(cls, body: object, limits: EventLimits = DEFAULT_LIMITS) -> Event:
        """Check and wrap one event as published by Ceilometer.

        :raises InvalidEvent: when it is not a mapping, lacks ``message_id`` or ``event_type``, or is larger
            than *limits*.
        """
        if not isinstance(body, dict):
            raise InvalidEvent("not_a_mapping", type(body).__name__)
        message_id = body.get("message_id")
        if not isinstance(message_id, str) or not message_id:
            raise InvalidEvent("no_message_id")
        event_type = body.get("event_type")
        if not isinstance(event_type, str) or not event_type:
            raise InvalidEvent("no_event_type", event_id=message_id[:80])
        if len(message_id) > limits.key:
            raise InvalidEvent("message_id_too_long", f"{len(message_id)} characters", message_id[:80])
        if len(event_type) > limits.key:
            raise InvalidEvent("event_type_too_long", f"{len(event_type)} characters", message_id)
        traits = body.get("traits")
        if isinstance(traits, list) and len(traits) > limits.traits:
            raise InvalidEvent("too_many_traits", str(len(traits)), message_id)
        return cls(body, limits.text)

    def _read_traits(self, traits: object) -> dict[str, Any]:
        if not isinstance(traits, list):
            if traits is not None:
                self.bad_traits.append("traits")
            return {}
        # Texts and mappings can be taken apart too, but they are no traits.
        if LISTS.issuperset(map(type, traits)):
            with contextlib.suppress(TypeError, ValueError):
                return {name: (dtype, value) for name, dtype, value in traits}
        return self._read_each_trait(traits)

    def _read_each_trait(self, traits: Iterable[object]) -> dict[str, Any]:
        good = {}
        for trait in traits:
            if isinstance(trait, list | tuple) and len(trait) >= 3 and isinstance(trait[0], str):
                good[trait[0]] = (trait[1], trait[2])
            else:
                self.bad_traits.append(repr(trait)[:80])
        return good

    def trait(self, name: str) -> TraitValue | None:
        """Return the converted value of a trait, or None when it is absent or cannot be converted."""
        try:
            return self._values[name]
        except KeyError:
            pass
        raw = self._raw.get(name)
        value: TraitValue | None = None
        if raw is not None:
            try:
                value = raw[1] if raw[0] == STRING and type(raw[1]) is str else convert(raw[1], raw[0])
            except ValueError:
                self.bad_traits.append(name)
            if type(value) is str and len(value) > self._longest:
                self.bad_traits.append(name)
                value = None
        self._values[name] = value
        return value

    def path(self, parts: tuple[str, ...]) -> Any:
        """Return what a dotted path leads to in the body, or None (Aodh: ``Event.get_value``)."""
        value: Any = self.body
        for part in parts:
            if not isinstance(value, Mapping):
                return None
            value = value.get(part)
        if isinstance(value, str) and len(value) > self._longest:
            self.bad_traits.append(".".join(parts))
            return None
        return value

    def first_trait(self, names: Iterable[str]) -> str:
        """Return the first present, non-empty trait of *names* as text, or an empty string."""
        for name in names:
            if name in self._raw:
                value = self.trait(name)
                if value is not None and value != "":
                    return str(value)
        return ""

    def later_of(self, one: str, other: str) -> str:
        """Return which of two traits that the event has stands behind the other."""
        return next(name for name in reversed(self._raw) if name in (one, other))

    def time(self, received: datetime.datetime) -> datetime.datetime:
        """Return when the event was generated.

        An absent or unreadable time counts as *received*; so does a time in the future, since a source
        with a fast clock must not make every later event look late (guarantee G9).
        """
        try:
            return min(parse_time(self.body.get("generated")), received)
        except ValueError:
            return received

    def json(self) -> str:
        """Return the body as JSON, encoded when first asked for."""
        if not self._json:
            self._json = json.dumps(self.body)
        return self._json

    def __repr__(self) -> str:
        return f"<Event {self.message_id} {self.event_type}>"


def severity_word(text: str) -> str | None:
    """Return the X.733 severity of a fault that *text* means, or None; Doctor's Info is a WARNING."""
    word = text.strip().upper()
    word = SYNONYMS.get(word, word)
    return word if word in FAULT_SEVERITIES else None


def fault_severity(event: Event) -> str | None:
    """Return the X.733 severity that an event carries in its trait ``severity``, or None."""
    return severity_word(event.first_trait(("severity",)))


def object_alarm_id(alarm_id: str, managed_object: str) -> str:
    """Return the id of an alarm on one of several managed objects: always the same for the same pair."""
    return str(uuid.uuid5(OBJECT_NAMESPACE, f"{alarm_id}\n{managed_object}"))


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmDefinition:
    """What the cache keeps of an alarm: enough to find it, nothing that changes when it fires.

    ``version`` is the time of the last change of the definition, as Aodh's ``alarm.timestamp`` has it.
    """

    alarm_id: str
    project_id: str
    type: str
    version: datetime.datetime
    rule: JSONDict
    has_ok_actions: bool


@dataclasses.dataclass(frozen=True, slots=True)
class DefinitionChange:
    """That an alarm's definition changed, and when (Aodh's ``alarm.timestamp``)."""

    alarm_id: str
    project_id: str
    version: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Alarm:
    """One row of Aodh's ``alarm`` table as it was when its lock was taken."""

    definition: AlarmDefinition
    enabled: bool
    name: str
    severity: str | None
    state: str
    repeat_actions: bool
    actions: Mapping[str, tuple[str, ...]]
    time_constraints: tuple[JSONDict, ...]

    @property
    def alarm_id(self) -> str:
        """The alarm's id, the row's key."""
        return self.definition.alarm_id


class Kind(enum.StrEnum):
    """What a transition did to its occurrence."""

    RAISED = "raised"
    CHANGED = "changed"
    CLEARED = "cleared"
    LATE = "late"


@dataclasses.dataclass(frozen=True, slots=True)
class Occurrence:
    """One raise...clear life of an alarm on one managed object.

    ``event_time`` is that of the newest event that set or confirmed the present state; ``hits`` counts the
    events that raised. Without hits it is no life at all, only the note that the object was heard of.
    ``severity`` is the X.733 word that the raising event carried, if any.
    """

    occurrence_id: str
    alarm_id: str
    project_id: str
    managed_object: str
    raised: bool
    event_time: datetime.datetime
    raised_at: datetime.datetime
    changed_at: datetime.datetime | None = None
    cleared_at: datetime.datetime | None = None
    hits: int = 1
    severity: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Transition:
    """One change of an occurrence, with everything that its notifications need.

    ``previous`` and ``current`` are Aodh alarm states. ``actions`` are the URLs to call, possibly none.
    ``raised_count``: on how many managed objects a ``notification`` alarm is raised then, None for others.
    """

    transition_id: str
    kind: Kind
    occurrence_id: str
    alarm_id: str
    project_id: str
    managed_object: str
    alarm_name: str
    severity: str | None
    previous: str
    current: str
    reason: str
    event: Event
    event_time: datetime.datetime
    recorded_at: datetime.datetime
    actions: tuple[str, ...] = ()
    raised_count: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Notification:
    """What a consumer is told: the fields of Aodh's webhook body, in Aodh's order.

    ``event_json`` is ``reason_data["event"]`` as JSON, one text for all notifications of the event; it is
    empty where the event was never encoded.
    """

    alarm_name: str
    alarm_id: str
    severity: str | None
    previous: str
    current: str
    reason: str
    reason_data: JSONDict
    event_json: str = dataclasses.field(default="", compare=False)

    def body(self) -> JSONDict:
        """Return the webhook body (Aodh ``notifier/rest.py``)."""
        return {
            "alarm_name": self.alarm_name,
            "alarm_id": self.alarm_id,
            "severity": self.severity,
            "previous": self.previous,
            "current": self.current,
            "reason": self.reason,
            "reason_data": self.reason_data,
        }

    def encoded(self) -> bytes:
        """Return the body as JSON; the event, which may be large, is not encoded again."""
        if not self.event_json:
            return json.dumps(self.body()).encode()
        told = {**self.body(), "reason_data": None}
        data = dict.fromkeys(self.reason_data) | {
            name: value for name, value in self.reason_data.items() if name != "event"
        }
        before, after = json.dumps(data).split('"event": null', 1)
        head = json.dumps(told).removesuffix("null}")
        return f'{head}{before}"event": {self.event_json}{after}}}'.encode()


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """One action URL to call for one transition; its row in the outbox outlives any process.

    ``order_key`` is shared by the deliveries of one alarm to one action: they leave in order of ``seq``.
    ``attempts`` counts finished attempts. What goes to a subscriber of the IFA API has its
    ``subscription_id``, and the ``body`` to send instead of the notification's. ``losses`` counts how often a
    process ended, or lost its lease, while it held this delivery and may have been sending it.
    """

    delivery_id: str
    order_key: str
    alarm_id: str
    project_id: str
    action: str
    notification: Notification
    created_at: datetime.datetime
    attempts: int = 0
    seq: int = 0
    subscription_id: str = ""
    body: str = ""
    losses: int = 0

    @property
    def size(self) -> int:
        """Bytes of the texts that it sends."""
        return len(self.body) or len(self.notification.event_json)


class DeliveryState(enum.StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    LEASED = "leased"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What came of one attempt: delivered, to be tried again after ``retry_in`` seconds, or failed.

    ``action`` replaces the delivery's in the database, unless it is empty.
    """

    delivery_id: str
    state: DeliveryState
    attempts: int
    status: int | None = None
    error: str = ""
    retry_in: float = 0.0
    action: str = ""
