"""The disruptors: each breaks one thing on one host of the stage, and undoes it."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Final

from eventalarm.trial.existing_cloud import acts
from eventalarm.trial.existing_cloud.hosts import LOCAL, Host
from eventalarm.trial.existing_cloud.journal import Left
from eventalarm.trial.existing_cloud.shell import ShellError, run, wait_for
from eventalarm.trial.existing_cloud.stage import ExistingCloud
from eventalarm.trial.fields import Fields, InvalidScenario
from eventalarm.trial.plugins import Context, Effect, Options, Refused

BOOT_ID: Final = "cat /proc/sys/kernel/random/boot_id"
Run = Callable[..., str]


class HostDisruptor:
    """One disruption of a host. *kind* names the function of ``acts`` that reads its options."""

    def __init__(self, context: Context, options: Options, kind: str) -> None:
        stage = context.stage
        fields = Fields(options, context.name)
        if not isinstance(stage, ExistingCloud):
            raise InvalidScenario(context.name, "needs the stage existing-cloud", "name it in stage.use")
        self.name = context.name
        self._context = context
        self._stage = stage
        self._host = _host(fields, stage)
        self._act = acts.ACTS[kind](fields)
        self._heal_within = fields.seconds("heal_within", 600.0 if self._act.reboots else 120.0)
        survivable = fields.flag("survivable")
        fields.done()
        if self._act.reboots and self._host.transport == LOCAL:
            raise fields.wrong("host", "a reboot of this machine would end the trial", "name another host")
        self.effect = Effect(
            hosts=(self._host.name,), ends_process=self._act.ends_process, survivable=survivable
        )
        self._left: Left | None = None
        self._boot_id = ""

    def plan(self) -> Sequence[str]:
        """Return the scripts."""
        on = f"on {self._host.name} ({self._host.place})"
        lines = [f"{on}: {self._act.strike}"]
        if self._act.undo:
            lines.append(f"{on}, afterwards: {self._act.undo}")
        if self._act.reboots:
            lines.append(f"{on}, afterwards: wait until it has booted")
        elif self._act.ready:
            lines.append(f"{on}, until it succeeds: {self._act.ready}")
        if self._act.cuts:
            lines.append(f"{on}: undone by itself {acts.SELF_HEAL} s later, should the trial not reach it")
        return lines

    def strike(self, seconds: float, over: threading.Event) -> None:
        """Break it, and return after *seconds*, or as soon as *over* is set.

        :raises ShellError: if the host refuses.
        """
        if self._host.name not in self._context.permitted:
            raise Refused(f"{self._host.name} may not be broken: --i-mean-it does not name it")
        token = secrets.token_hex(8)
        act = acts.self_healing(self._act, seconds, token) if self._act.cuts else self._act
        if act.reboots:
            self._boot_id = run(self._host, BOOT_ID).strip()
        now = self._context.clock()
        left = Left(token, self._host, self.name, act.undo, act.ready, now, self._heal_within)
        self._stage.journal.add(left)
        self._left = left
        run(self._host, act.strike)
        over.wait(seconds)

    def heal(self) -> float | None:
        """Undo it, and wait until it works again.

        :raises ShellError: if that takes too long; it remains in the file of what is broken.
        """
        left = self._left
        if left is None:
            return None
        self._undo(left)
        self._stage.journal.remove(left.token)
        self._left = None
        return None

    def _undo(self, left: Left) -> None:
        if self._act.reboots:
            wait_for(self._host, f'test "$({BOOT_ID})" != {self._boot_id}', self._heal_within)
        else:
            undo(left)


def undo(left: Left) -> None:
    """Undo what was broken, and wait until it works again; harmless if it does already.

    :raises ShellError: if that takes too long.
    """
    if not left.undo:
        wait_for(left.host, left.ready or "true", left.within)
    elif not left.ready:
        wait_for(left.host, left.undo, left.within)
    else:
        # An undo may fail because it was made before; whether it works is what counts. One that succeeded is
        # not repeated, since it may start a process.
        is_undone = False

        def again() -> None:
            nonlocal is_undone
            if not is_undone:
                with contextlib.suppress(ShellError):
                    run(left.host, left.undo)
                    is_undone = True

        again()
        wait_for(left.host, left.ready, left.within, again)


def _host(fields: Fields, stage: ExistingCloud) -> Host:
    return stage.hosts[fields.text("host", choices=stage.hosts)]


def container(context: Context, options: Options) -> HostDisruptor:
    """Kill, stop or pause a container."""
    return HostDisruptor(context, options, "container")


def service(context: Context, options: Options) -> HostDisruptor:
    """Kill, stop or freeze a unit of systemd."""
    return HostDisruptor(context, options, "service")


def process(context: Context, options: Options) -> HostDisruptor:
    """Kill or pause the process whose id is in a file."""
    return HostDisruptor(context, options, "process")


def command(context: Context, options: Options) -> HostDisruptor:
    """Run any script, and its undo."""
    return HostDisruptor(context, options, "command")


def reboot(context: Context, options: Options) -> HostDisruptor:
    """Reboot the host."""
    return HostDisruptor(context, options, "reboot")


def network(context: Context, options: Options) -> HostDisruptor:
    """Drop, delay or lose packets."""
    return HostDisruptor(context, options, "network")
