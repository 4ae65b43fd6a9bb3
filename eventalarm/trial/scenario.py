"""A scenario: what is disrupted, in parallel or in turn, under which load, and what is allowed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from eventalarm.trial.fields import LONGEST, Fields, InvalidScenario

TOGETHER, IN_TURN, PAUSE, USE = "together", "in_turn", "pause", "use"
MOST_REPEATS: Final = 10_000
MOST_DEPTH: Final = 8
Span = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """One plugin: *use* is its name in its namespace, *name* how the report calls it."""

    where: str
    use: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pause:
    """Nothing for a time, in seconds; the least and the most."""

    seconds: Span


@dataclass(frozen=True)
class Disruption:
    """One disruption; *noticed_by* is a pattern of the names of the alarms that must report it, if any."""

    part: Part
    seconds: Span
    noticed_by: str = ""


@dataclass(frozen=True)
class Group:
    """Items in turn, or together; repeated, each time in another order if *shuffled*."""

    items: tuple[Item, ...]
    together: bool = False
    repeat: int = 1
    shuffled: bool = False


Item = Pause | Disruption | Group


@dataclass(frozen=True)
class Limits:
    """What a trial may show at most, or at least, and still pass.

    *noticed* is the time in seconds from a disruption to its first notification, *availability* the least
    percentage of good samples by name of a monitor, *outage* the longest time of bad samples in seconds.
    """

    lost: int = 0
    doubled: int = 0
    noticed: float | None = None
    availability: Mapping[str, float] = field(default_factory=dict)
    outage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """What a file says. All times are in seconds.

    *seconds* is how long the plan is repeated, or 0 for once; *before* and *after* are times of load without
    a disruption; *settle* bounds the wait at the end.
    """

    name: str
    description: str
    stage: Part
    plan: Group
    seed: int = 1
    seconds: float = 0.0
    before: float = 5.0
    after: float = 5.0
    settle: float = 60.0
    runners: tuple[Part, ...] = ()
    monitors: tuple[Part, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def disruptions(self) -> Iterator[Disruption]:
        """Yield every disruption in the order of the file."""
        yield from _disruptions(self.plan)


def _disruptions(item: Item) -> Iterator[Disruption]:
    if isinstance(item, Disruption):
        yield item
    elif isinstance(item, Group):
        for one in item.items:
            yield from _disruptions(one)


def parse(document: object, name: str = "scenario") -> Scenario:
    """Return the scenario that a parsed file holds; *name* is used if it has none.

    :raises InvalidScenario: naming the field that is wrong.
    """
    fields = Fields(document, "")
    scenario = Scenario(
        name=fields.text("name", name),
        description=fields.text("description", ""),
        stage=_part(fields.value("stage"), "stage"),
        plan=_group(fields, "disruptions", depth=0),
        seed=fields.whole("seed", 1),
        seconds=fields.seconds("seconds", 0.0),
        before=fields.seconds("before", 5.0),
        after=fields.seconds("after", 5.0),
        settle=fields.seconds("settle", 60.0),
        runners=_parts(fields, "runners"),
        monitors=_parts(fields, "monitors"),
        limits=_limits(fields.value("limits", {})),
    )
    fields.done()
    _names_apart(scenario)
    return scenario


def _part(value: object, where: str) -> Part:
    fields = Fields(value, where)
    use = fields.text(USE)
    return Part(where, use, fields.text("name", use), fields.rest())


def _parts(fields: Fields, name: str) -> tuple[Part, ...]:
    return tuple(_part(one, f"{name}[{number}]") for number, one in enumerate(fields.items(name, ())))


def _group(fields: Fields, name: str, depth: int) -> Group:
    """Return the group whose items are the list *name*, and whose other members are beside it."""
    if depth > MOST_DEPTH:
        raise fields.wrong(name, f"groups are nested deeper than {MOST_DEPTH}", "use fewer levels")
    items = tuple(
        _item(one, f"{fields.path(name)}[{number}]", depth)
        for number, one in enumerate(fields.items(name, ()))
    )
    if depth and not items:
        raise fields.wrong(name, "is empty", "add a disruption, or remove the group")
    if not depth:
        return Group(items)
    is_together = name == TOGETHER
    return Group(
        items,
        is_together,
        fields.whole("repeat", 1, 1, MOST_REPEATS),
        False if is_together else fields.flag("shuffle"),
    )


def _item(value: object, where: str, depth: int) -> Item:
    fields = Fields(value, where)
    kinds = [kind for kind in (TOGETHER, IN_TURN, PAUSE, USE) if isinstance(value, Mapping) and kind in value]
    if len(kinds) != 1:
        raise InvalidScenario(
            where,
            f"has {', '.join(kinds) or 'no kind'}",
            f"give one of {USE}, {PAUSE}, {IN_TURN}, {TOGETHER}",
        )
    item: Item
    if kinds[0] == PAUSE:
        item = Pause(fields.span(PAUSE))
    elif kinds[0] == USE:
        span = fields.span("seconds", 10.0)
        noticed_by = fields.text("noticed_by", "")
        use = fields.text(USE)
        name = fields.text("name", _described(use, value))
        item = Disruption(Part(where, use, name, fields.rest()), span, noticed_by)
    else:
        item = _group(fields, kinds[0], depth + 1)
    fields.done()
    return item


def _described(use: str, value: object) -> str:
    """Return the name of a disruption without one, which says what is done to what on which host."""
    assert isinstance(value, Mapping)
    words = [value.get("action"), use, value.get("unit") or value.get("container"), value.get("host")]
    action, kind, what, host = (str(word) if isinstance(word, str) else "" for word in words)
    return " ".join(word for word in (action, kind, what, f"on {host}" if host else "") if word)


def _limits(value: object) -> Limits:
    fields = Fields(value, "limits")
    limits = Limits(
        lost=fields.whole("lost", 0),
        doubled=fields.whole("doubled", 0),
        noticed=fields.number("noticed", None, 0.0, LONGEST),
        availability=_numbers(fields, "availability", 100.0),
        outage=_numbers(fields, "outage", LONGEST),
    )
    fields.done()
    return limits


def _numbers(fields: Fields, name: str, high: float) -> dict[str, float]:
    inner = Fields(fields.mapping(name, {}), fields.path(name))
    found = {one: inner.number(one, high=high) for one in fields.mapping(name, {})}
    return {one: number for one, number in found.items() if number is not None}


def _names_apart(scenario: Scenario) -> None:
    """Refuse two monitors or runners of one name, and limits of monitors that do not exist."""
    for parts in (scenario.runners, scenario.monitors):
        seen: set[str] = set()
        for part in parts:
            if part.name in seen:
                raise InvalidScenario(f"{part.where}.name", f"{part.name!r} is used twice", "choose another")
            seen.add(part.name)
    known = {part.name for part in scenario.monitors}
    for kind, names in (("availability", scenario.limits.availability), ("outage", scenario.limits.outage)):
        for name in names:
            if name not in known:
                remedy = f"name one of the monitors: {', '.join(sorted(known)) or 'there are none'}"
                raise InvalidScenario(f"limits.{kind}.{name}", "no such monitor", remedy)
