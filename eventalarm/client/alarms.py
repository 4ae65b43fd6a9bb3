"""Alarms of Aodh as the commands ``openstack eventalarm rule`` read, show and change them."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any, Final

from osc_lib import exceptions

from eventalarm.evaluator.notification_rule import parse
from eventalarm.exceptions import EventAlarmError

SHOWN: Final = ("alarm_id", "name", "type", "enabled", "state", "state_reason", "severity", "project_id")
STATES: Final = ("alarm", "ok", "insufficient-data")
ACTIONS: Final = {state: f"{state.replace('-', '_')}_actions" for state in STATES}
SEVERITIES: Final = ("low", "moderate", "critical")


def alarms(app: Any) -> Any:
    """Return aodhclient's manager of alarms."""
    return app.client_manager.eventalarm.alarm


def load(path: str, read: Callable[[str], Any] = json.loads) -> Any:
    """Return what *read* makes of the file *path*; ``-`` is standard input.

    :raises CommandError: when the file cannot be read, or *read* refuses it.
    """
    try:
        return read(sys.stdin.read() if path == "-" else pathlib.Path(path).read_text())
    except (OSError, ValueError, RecursionError) as exc:
        raise exceptions.CommandError(f"{path}: {exc}") from exc


def load_rule(path: str) -> Any:
    """Return the notification rule in the file *path*, checked here, where errors are cheap.

    :raises CommandError: with the field and the remedy when the rule is invalid.
    """
    document = load(path)
    try:
        parse(document)
    except EventAlarmError as exc:
        raise exceptions.CommandError(f"{path}: {exc}") from exc
    return document


def shown(alarm: dict[str, Any]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Return the names and the values that a command shows of *alarm*."""
    rows = [(name, alarm.get(name)) for name in SHOWN]
    rows += [(name, "\n".join(alarm.get(name) or [])) for name in ACTIONS.values()]
    rule = alarm.get(f"{alarm.get('type')}_rule")
    rows.append(("rule", json.dumps(rule, indent=2, sort_keys=True)))
    names, values = zip(*rows, strict=True)
    return names, values


def add_actions(parser: argparse.ArgumentParser, *, removable: bool) -> None:
    """Add ``--alarm-action`` and its siblings; with *removable* also ``--no-alarm-action``."""
    for state in STATES:
        group = parser.add_mutually_exclusive_group()
        group.add_argument(
            f"--{state}-action",
            action="append",
            default=None,
            metavar="<url>",
            help=f"URL to call when the state becomes {state} (repeat for more)",
        )
        if removable:
            group.add_argument(
                f"--no-{state}-action",
                dest=ACTIONS[state].removesuffix("s"),
                action="store_const",
                const=[],
                help=f"call no URL when the state becomes {state}",
            )


def given_actions(parsed_args: argparse.Namespace) -> dict[str, list[str]]:
    """Return the actions that the command line names, by attribute of the alarm."""
    found = {name: getattr(parsed_args, name.removesuffix("s")) for name in ACTIONS.values()}
    return {name: urls for name, urls in found.items() if urls is not None}
