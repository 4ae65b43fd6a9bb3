"""Events and their typed traits, their times, and the X.733 severity that an event carries."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from dateutil import parser as date_parser

from eventalarm.exceptions import InvalidEvent

if TYPE_CHECKING:
    from eventalarm.model.profiles import Arrival, Profile

UTC: Final = datetime.UTC

# Before every event; stands for "never" where a time is required.
EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=UTC)

# The maximum length of a date, in characters.
LONGEST_TIME: Final = 80
DIGITS: Final = frozenset("0123456789")


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


def format_time(moment: datetime.datetime) -> str:
    """Return an aware time as events have it: ISO 8601 in UTC, without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat()


def _with_two_digits(text: str) -> str:
    """Return *text* with one-digit fields padded to two digits, as in 2026-5-1.

    One-digit fields are not ISO 8601, but Aodh accepts them.
    """
    if len(text) > LONGEST_TIME:
        raise ValueError("longer than a date")
    pieces = []
    for place, character in enumerate(text):
        begins = character in DIGITS and text[place - 1 : place] in ("-", ":")
        pieces.append("0" if begins and text[place + 1 : place + 2] not in DIGITS else "")
        pieces.append(character)
    return "".join(pieces)


STRING, INTEGER, FLOAT, DATETIME = 1, 2, 3, 4

# The X.733 severities of a fault that is present.
FAULT_SEVERITIES: Final = frozenset({"CRITICAL", "MAJOR", "MINOR", "WARNING", "INDETERMINATE"})
SYNONYMS: Final = {"INFO": "WARNING", "INFORMATIONAL": "WARNING", "WARN": "WARNING"}

LISTS: Final = frozenset({list, tuple})

JSONDict = dict[str, Any]
TraitValue = str | int | float | datetime.datetime


def convert(value: object, dtype: object) -> TraitValue:
    """Convert a value of a trait or a query to its type, as Aodh's event evaluator does.

    :raises ValueError: when it cannot be converted. Aodh fails there; eventalarm ignores the trait.
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
    """Limits on the size of an event, which bound the time of its evaluation.

    An event with more than ``traits`` traits is refused, and one whose ``message_id`` or ``event_type`` is
    longer than ``key`` characters; a text trait longer than ``text`` characters is treated as
    absent, because a comparison takes time proportional to its length.
    """

    traits: int = 10000
    text: int = 16384
    key: int = 1024


DEFAULT_LIMITS: Final = EventLimits()


class Event:
    """One Ceilometer event as received; traits are converted on first access.

    ``body`` is the event exactly as received and must not be changed. A trait that cannot be converted is
    treated as absent and listed in ``bad_traits``; the other traits are used (guarantee G6). If a trait name
    is repeated, the last one is used, as in Aodh. ``owner_trait`` is the publisher's hint: which of
    ``project_id`` and ``tenant_id`` names the owner if they differ; empty without a hint. ``arrival`` is set
    where the event was taken from the bus, ``profile`` while it is profiled.
    """

    __slots__ = (
        "_json",
        "_longest",
        "_raw",
        "_values",
        "arrival",
        "bad_traits",
        "body",
        "event_type",
        "message_id",
        "owner_trait",
        "profile",
    )

    def __init__(self, body: JSONDict, longest: int = DEFAULT_LIMITS.text) -> None:
        self.body = body
        self._json = ""
        self._longest = longest
        self.message_id: str = body["message_id"]
        self.event_type: str = body["event_type"]
        self.owner_trait = ""
        self.arrival: Arrival | None = None
        self.profile: Profile | None = None
        self.bad_traits: list[str] = []
        self._values: dict[str, TraitValue | None] = {}
        self._raw = self._read_traits(body.get("traits"))

    @classmethod
    def parse(cls, body: object, limits: EventLimits = DEFAULT_LIMITS) -> Event:
        """Validate one event as published by Ceilometer, and return it.

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
        # Strings and mappings can be unpacked too, but they are not traits.
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

    def has_trait(self, name: str) -> bool:
        """Return True if the event has a trait of that name, which need not be readable."""
        return name in self._raw

    def trait(self, name: str) -> TraitValue | None:
        """Return the converted value of a trait, or None if it is absent or cannot be converted."""
        if name in self._values:
            return self._values[name]
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
        """Return the value at a dotted path in the body, or None (Aodh: ``Event.get_value``)."""
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
        """Return the name of whichever of two traits, at least one of which is present, comes last."""
        return next(name for name in reversed(self._raw) if name in (one, other))

    def time(
        self, received: datetime.datetime, tolerance: datetime.timedelta = datetime.timedelta(0)
    ) -> datetime.datetime:
        """Return when the event was generated.

        An absent or invalid time, and one later than *tolerance* after *received*, is replaced by *received*:
        a source whose clock is fast must not make all later events look late (guarantee G9).
        """
        try:
            generated = parse_time(self.body.get("generated"))
        except ValueError:
            return received
        return generated if generated - received <= tolerance else received

    def json(self) -> str:
        """Return the body as JSON, encoded on first access."""
        if not self._json:
            self._json = json.dumps(self.body)
        return self._json

    def __repr__(self) -> str:
        return f"<Event {self.message_id} {self.event_type}>"


def make_body(
    message_id: str, event_type: str, generated: object, traits: Iterable[tuple[str, object, object]]
) -> JSONDict:
    """Return an event of ours as Ceilometer would publish it, without a copy of a notification.

    :param generated: naive UTC as ISO 8601 text.
    :param traits: the name, the type and the value of each.
    """
    return {
        "message_id": message_id,
        "event_type": event_type,
        "generated": generated,
        "traits": [list(trait) for trait in traits],
        "raw": {},
        "message_signature": "",
    }


def severity_word(text: str) -> str | None:
    """Return the X.733 severity that *text* denotes, or None; Doctor's Info is a WARNING."""
    word = text.strip().upper()
    word = SYNONYMS.get(word, word)
    return word if word in FAULT_SEVERITIES else None


def fault_severity(event: Event) -> str | None:
    """Return the X.733 severity that an event carries in its trait ``severity``, or None."""
    return severity_word(event.first_trait(("severity",)))
