"""``openstack ifa alarm watch``: shows changes of alarms until interrupted."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TextIO

from osc_lib.command import command

from eventalarm.backoff import Backoff
from eventalarm.client import ifa
from eventalarm.client.ifa_api import IfaClient
from eventalarm.client.service import Document, NotReached


class What(enum.StrEnum):
    """What happened to an alarm since the last poll."""

    ACTIVE = "active"
    RAISED = "raised"
    CHANGED = "changed"
    CLEARED = "cleared"


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One alarm as it is now and what happened to it; ``at`` is the service's RFC 3339 time."""

    what: What
    at: str
    alarm: Document


def by_id(alarms: Iterable[Document]) -> dict[str, Document]:
    """Return the alarms of a poll by id."""
    return {alarm["alarmId"]: alarm for alarm in alarms}


def first_changes(alarms: Mapping[str, Document]) -> list[Change]:
    """Return the alarms of the first poll as changes, the oldest first."""
    found = [Change(What.ACTIVE, alarm["alarmRaisedTime"], alarm) for alarm in alarms.values()]
    return sorted(found, key=lambda change: change.at)


def changes_between(
    before: Mapping[str, Document],
    now: Mapping[str, Document],
    find: Callable[[str], Document | None],
) -> list[Change]:
    """Return the differences between two polls in the order in which they happened.

    *find* returns an alarm that is no longer active, or None if it no longer exists.
    """
    found = []
    for alarm_id, alarm in now.items():
        old = before.get(alarm_id)
        if old is None or old["alarmRaisedTime"] != alarm["alarmRaisedTime"]:
            found.append(Change(What.RAISED, alarm["alarmRaisedTime"], alarm))
        elif old != alarm:
            found.append(_changed(alarm))
    for alarm_id in before.keys() - now.keys():
        alarm = find(alarm_id) or before[alarm_id]
        if "alarmClearedTime" not in alarm and alarm is not before[alarm_id]:
            # It no longer matches the filter, but is still active.
            found.append(_changed(alarm))
        else:
            found.append(Change(What.CLEARED, alarm.get("alarmClearedTime", ""), alarm))
    return sorted(found, key=lambda change: change.at)


def _changed(alarm: Document) -> Change:
    return Change(What.CHANGED, alarm.get("alarmChangedTime") or alarm["alarmRaisedTime"], alarm)


INTERVAL: Final = 2.0
LONGEST_PAUSE: Final = 30.0
COLOURS: Final = {
    "CRITICAL": "97;41",
    "MAJOR": "31",
    "MINOR": "33",
    "WARNING": "36",
    "INDETERMINATE": "35",
    "CLEARED": "32",
}


def line(change: Change, coloured: bool) -> str:
    """Return a change as a line of text; control characters are replaced."""
    alarm = change.alarm
    severity = "CLEARED" if change.what is What.CLEARED else alarm["perceivedSeverity"]
    padded = f"{severity:<13}"
    if coloured:
        padded = f"\x1b[{COLOURS[severity]}m{padded}\x1b[0m"
    texts = (alarm["managedObjectId"], alarm["faultType"], alarm["alarmId"])
    clean = "  ".join("".join(c if c.isprintable() else "?" for c in text) for text in texts)
    return f"{change.at or 'now':<27}  {change.what:<7}  {padded}  {clean}"


def document(change: Change) -> str:
    """Return a change as one line of JSON."""
    return json.dumps({"change": change.what.value, "time": change.at or None, "alarm": change.alarm})


class Watcher:
    """Polls the alarms; *report* writes a change, *warn* an error, *pause* sleeps a number of seconds."""

    def __init__(
        self,
        client: IfaClient,
        filters: Mapping[str, Any],
        report: Callable[[Change], None],
        warn: Callable[[str], None],
        pause: Callable[[float], None],
    ) -> None:
        self._client = client
        self._filters = filters
        self._report = report
        self._warn = warn
        self._pause = pause

    def follow(self, interval: float) -> None:
        """Poll every *interval* seconds, less often while the service is unavailable; never return."""
        seen: dict[str, Document] | None = None
        backoff = Backoff(2 * interval, max(LONGEST_PAUSE, interval), jitter=0.0)
        failures = 0
        while True:
            try:
                seen = self._poll(seen)
                failures = 0
            except NotReached as exc:
                if seen is None:
                    raise
                self._warn(str(exc))
                failures += 1
            self._pause(backoff(failures) if failures else interval)

    def _poll(self, before: dict[str, Document] | None) -> dict[str, Document]:
        now = by_id(self._client.alarms(self._filters))
        found = first_changes(now) if before is None else changes_between(before, now, self._client.find)
        for change in found:
            self._report(change)
        return now


class WatchAlarms(command.Command):
    """Show the active alarms, then every change as it happens. Press Ctrl-C to stop."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        ifa.add_filters(parser)
        parser.add_argument(
            "--interval",
            type=float,
            default=INTERVAL,
            metavar="<seconds>",
            help="seconds between polls (default: %(default)s)",
        )
        parser.add_argument(
            "-f",
            "--format",
            choices=("text", "json"),
            default="text",
            help="output format; json prints one document per line",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Poll until interrupted."""
        output: TextIO = self.app.stdout
        coloured = parsed_args.format == "text" and output.isatty()

        def report(change: Change) -> None:
            text = document(change) if parsed_args.format == "json" else line(change, coloured)
            output.write(f"{text}\n")
            output.flush()

        def warn(text: str) -> None:
            sys.stderr.write(f"{text}; retrying\n")

        watcher = Watcher(IfaClient.of(self.app), ifa.filters(parsed_args), report, warn, time.sleep)
        try:
            watcher.follow(max(parsed_args.interval, 0.1))
        except (KeyboardInterrupt, BrokenPipeError):
            return
