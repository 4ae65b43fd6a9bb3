"""Takes an inventory into a file, and compares the cloud with one."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from eventalarm.exceptions import EventAlarmError
from eventalarm.pulse.comparison import BrokenService, Comparison, compare
from eventalarm.pulse.inventory import Header, InvalidInventory, Item, Kind, lines_of, parse
from eventalarm.pulse.survey import Survey

Tick = Callable[[str], None]
EVERY = 100


class FileProblem(EventAlarmError):
    """A file cannot be read or written."""


def take(
    survey: Survey, path: pathlib.Path, header: Header, tick: Tick = lambda text: None
) -> tuple[Header, Counter[Kind]]:
    """Write the inventory of the kinds of *header* that the cloud offers; return its header and numbers.

    Only its owner can read the file, which appears when it is complete.

    :param tick: called with a line of progress, often.
    :raises SurveyFailed: when a service failed, or the cloud has none of those that list the kinds.
    :raises FileProblem: when the file cannot be written.
    """
    offered = survey.offered(header.kinds)
    absent = tuple(kind for kind in header.kinds if kind not in offered)
    complete = Header(header.cloud, header.taken_at, header.project_id, offered, absent)
    numbers: Counter[Kind] = Counter()
    _write(path, lines_of(complete, _counted(survey, offered, numbers, tick)))
    return complete, numbers


def _counted(survey: Survey, kinds: Iterable[Kind], numbers: Counter[Kind], tick: Tick) -> Iterator[Item]:
    for kind in kinds:
        for item in survey.items(kind):
            numbers[kind] += 1
            if numbers[kind] % EVERY == 0:
                tick(kind.number(numbers[kind]))
            yield item
        tick(kind.number(numbers[kind]))


def _write(path: pathlib.Path, lines: Iterable[str]) -> None:
    try:
        # Its mode is 0600 from the beginning.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as exc:
        raise FileProblem(f"{path}: {exc.strerror}") from exc
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        os.replace(name, path)
    except OSError as exc:
        raise FileProblem(f"{path}: {exc.strerror}") from exc
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def read(path: pathlib.Path) -> tuple[Header, tuple[Item, ...]]:
    """Return the inventory in a file.

    :raises FileProblem: when it cannot be read.
    :raises InvalidInventory: when it is not an inventory.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise FileProblem(f"{path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise InvalidInventory(f"{path}: is not a text file") from exc
    try:
        return parse(text)
    except InvalidInventory as exc:
        raise InvalidInventory(f"{path}: {exc}") from None


def compare_with(
    survey: Survey, header: Header, items: Iterable[Item], tick: Tick = lambda text: None
) -> Comparison:
    """Compare an inventory with what there is now.

    :raises SurveyFailed: when there is no catalog to read.
    """
    return compare(items, _watched(survey.everything(header.kinds), tick))


def _watched(found: Iterable[Item | BrokenService], tick: Tick) -> Iterator[Item | BrokenService]:
    for number, one in enumerate(found, 1):
        if number % EVERY == 0:
            tick(f"{number} resources compared")
        yield one


def age(header: Header, now: datetime.datetime) -> str:
    """Return how long ago an inventory was taken, in words."""
    minutes = max(0, round((now - header.taken_at).total_seconds() / 60))
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
