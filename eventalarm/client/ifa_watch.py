"""``openstack ifa alarm watch``: shows changes of alarms until interrupted."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TextIO

from osc_lib.command import command

from eventalarm.backoff import Backoff
from eventalarm.client import changes, ifa
from eventalarm.client.changes import Change, What
from eventalarm.client.ifa_api import Document, IfaClient, NotReached

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
        now = changes.by_id(self._client.alarms(self._filters))
        found = changes.first(now) if before is None else changes.changes(before, now, self._client.find)
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
