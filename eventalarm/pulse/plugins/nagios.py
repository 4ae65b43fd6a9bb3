"""Programs that follow the rules of Nagios plugins: how they are configured, and what they print. Pure."""

from __future__ import annotations

import dataclasses
import math
import shlex
from typing import Final

from eventalarm.exceptions import InvalidOption
from eventalarm.pulse.finding import Finding, Health
from eventalarm.pulse.plugins.answers import shortened

OPTION: Final = "[eventalarm_pulse] commands"
_FORM: Final = "write NAME: COMMAND LINE, or NAME timeout=SECONDS project=ID host=NAME: COMMAND LINE"
_SETTINGS: Final = ("timeout", "project", "host")
#: Figures that are kept of the performance data, and the longest name.
_MOST, _LONGEST = 50, 64
NOT_FOUND: Final = 127


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A program of the option ``commands``: what is started, and whose fault it reports."""

    name: str
    words: tuple[str, ...]
    timeout: float
    project_id: str = ""
    host: str = ""


def command(text: str, timeout: float) -> Command:
    """Read one value of the option; *timeout* is the default.

    :raises InvalidOption: with the remedy.
    """
    head, colon, line = text.strip().partition(": ")
    name, *settings = head.split() or [""]
    if not colon or not name or "=" in name:
        raise _invalid(shortened(text), "has no name and colon before the command line")
    given = dict(_setting(name, one) for one in settings)
    try:
        words = tuple(shlex.split(line))
    except ValueError as exc:
        raise _invalid(name, f"has a command line that cannot be split: {exc}") from None
    if not words:
        raise _invalid(name, "has no command line")
    seconds = _seconds(name, given["timeout"]) if "timeout" in given else timeout
    return Command(name, words, seconds, given.get("project", ""), given.get("host", ""))


def _setting(name: str, text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if key not in _SETTINGS or not value:
        raise _invalid(name, f"has the unknown or empty setting {text!r}")
    return key, value


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 86400:
        raise _invalid(name, f"has timeout={text}, which must be a number of seconds up to 86400")
    return seconds


def _invalid(what: str, problem: str) -> InvalidOption:
    return InvalidOption(OPTION, f"{what} {problem}", _FORM)


def evaluate(one: Command, code: int, output: str, seconds: float, late: bool = False) -> Finding:
    """Return what the end of a program means.

    Its first line is the summary, what follows ``|`` becomes figures, and further lines are the remedy.

    :param code: the exit code, or the negative number of a signal.
    :param late: True if it was killed at the timeout.
    """
    first, _, others = output.strip().partition("\n")
    summary, _, data = first.partition("|")
    further, _, _ = others.partition("|")
    health = Health(code) if code in list(Health) else Health.UNKNOWN
    text, remedy = shortened(summary), shortened(further)
    # Not the command line, which may contain a password.
    by_hand = f"run the command line of {one.name} in {OPTION} by hand"
    if late:
        health = Health.CRITICAL
        text = f"not finished after {one.timeout:g} s, killed{f'; it printed: {text}' if text else ''}"
        remedy = f"{by_hand}; if it needs longer, set its timeout=SECONDS there"
    elif code not in list(Health):
        how = f"signal {-code} ended it" if code < 0 else f"exit code {code}, which is none of Nagios"
        text = f"{how}{f'; it printed: {text}' if text else ''}"
    if health is not Health.OK and not remedy:
        remedy = by_hand
    return Finding(
        target=one.name,
        health=health,
        summary=text or f"{one.name} printed nothing; exit code {code}",
        remedy="" if health is Health.OK else remedy,
        figures={"seconds": round(seconds, 3), **figures(data)},
        project_id=one.project_id,
        host=one.host,
    )


def figures(data: str) -> dict[str, float]:
    """Return the values of performance data, ``'label'=value[unit];warn;crit;min;max ...``.

    The unit becomes part of the name (``time_s``), and what cannot be read is left out.
    """
    found: dict[str, float] = {}
    for label, value in _pairs(data):
        number = value.partition(";")[0].rstrip("%abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        unit = value.partition(";")[0][len(number) :].replace("%", "percent")
        try:
            figure = float(number)
        except ValueError:
            continue
        if math.isfinite(figure) and len(found) < _MOST:
            name = "_".join(filter(None, (*"".join(c if c.isalnum() else " " for c in label).split(), unit)))
            found[name[:_LONGEST]] = figure
    return found


def _pairs(data: str) -> list[tuple[str, str]]:
    """Split at spaces outside of quotes; a quote within a label is doubled."""
    pairs: list[tuple[str, str]] = []
    rest = data.strip()
    while rest and len(pairs) < _MOST:
        label, rest = _label(rest)
        value, _, rest = rest.removeprefix("=").partition(" ")
        rest = rest.strip()
        if label:
            pairs.append((label, value))
    return pairs


def _label(text: str) -> tuple[str, str]:
    if text.startswith("'"):
        end = text.find("'=", 1)
        return (text[1:end], text[end + 1 :]) if end > 0 else ("", "")
    label, equals, rest = text.partition("=")
    return (label, f"={rest}") if equals and " " not in label else ("", text.partition(" ")[2])
