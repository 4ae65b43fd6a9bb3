"""The stage: the hosts of an existing cloud, which are only looked at before a disruption names them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Final

from eventalarm.trial.existing_cloud.hosts import Host, parse_hosts
from eventalarm.trial.existing_cloud.journal import Journal, Left
from eventalarm.trial.existing_cloud.shell import run
from eventalarm.trial.fields import Fields
from eventalarm.trial.history.facts import awaited
from eventalarm.trial.history.records import History, Receipt
from eventalarm.trial.plugins import Context, Options, Refused

# Seconds between two looks whether all webhooks have arrived.
LOOK: Final = 0.1
MOST_NAMED: Final = 5


class ExistingCloud:
    """What is there already; the trial starts and ends nothing of it but by its disruptions."""

    def __init__(self, context: Context, options: Options) -> None:
        fields = Fields(options, "stage")
        self.hosts: Mapping[str, Host] = parse_hosts(fields.value("hosts"), "stage.hosts")
        fields.done()
        self.journal = Journal(context.state)
        self._history = context.history
        self._permitted = context.permitted
        self._held = contextlib.ExitStack()

    def plan(self) -> Sequence[str]:
        """Return the hosts."""
        return [f"{name}: {host.place}, by {host.transport}" for name, host in self.hosts.items()]

    def open(self) -> None:
        """Make sure that nothing was left broken, and that each host that may be broken can be reached.

        :raises Refused: if an earlier trial left something broken, or another trial is running.
        :raises ShellError: if a host cannot be reached.
        """
        self._held.enter_context(self.journal.locked())
        if left := self.journal.left():
            raise Refused(
                f"an earlier trial left {len(left)} disruptions: {'; '.join(map(described, left))}. "
                "Undo them: eventalarm-trial undo"
            )
        for name in sorted(self._permitted):
            run(self.hosts[name], "true")

    def settle(self, seconds: float) -> Sequence[str]:
        """Wait until every event that must fire an alarm has become a webhook."""
        deadline = time.monotonic() + seconds
        missing = self._missing()
        while missing and time.monotonic() < deadline:
            time.sleep(LOOK)
            missing = self._missing()
        if not missing:
            return []
        named = ", ".join(sorted(missing)[:MOST_NAMED])
        return [f"{len(missing)} events have no webhook {seconds:g} s after the end: {named}"]

    def _missing(self) -> set[str]:
        if not isinstance(self._history, History):
            return set()
        return awaited(self._history) - {one.message_id for one in self._history.of(Receipt)}

    def collect(self) -> None:
        """Add nothing: webhooks are recorded when they arrive."""

    def close(self) -> None:
        """Let another trial use the file of what is broken."""
        self._held.close()


def described(left: Left) -> str:
    """Return what was left broken, in words."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(left.began))
    return f"{left.what} on {left.host.name} since {since}"
