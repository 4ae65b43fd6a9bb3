"""Running scripts on hosts."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Final

from eventalarm.exceptions import EventAlarmError
from eventalarm.trial.existing_cloud.hosts import SSH, SSH_FAILED, Host

TIMEOUT: Final = 60.0
# Seconds between two looks whether a host, or what runs on it, works again: the first, and the most.
LOOK: Final = 0.2
MOST_LOOK: Final = 3.0
MOST_OUTPUT: Final = 500


class ShellError(EventAlarmError):
    """A script failed on a host, or the host cannot be reached; the message names both."""


def run(host: Host, script: str, timeout: float = TIMEOUT) -> str:
    """Return the output of a script.

    :raises ShellError: if it fails, or takes longer than *timeout* seconds.
    """
    try:
        done = subprocess.run(  # noqa: S603 - what the scenario names
            host.command(script),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
            text=True,
            errors="replace",
            # Ctrl-C must not end the undo.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as exc:
        raise ShellError(f"{host.name}: not finished within {timeout:g} s: {script}") from exc
    except OSError as exc:
        raise ShellError(f"{host.name}: {exc.filename or 'sh'}: {exc.strerror}") from exc
    if done.returncode == 0:
        return done.stdout
    output = " ".join(done.stdout.split())[-MOST_OUTPUT:]
    if host.transport == SSH and done.returncode == SSH_FAILED:
        raise ShellError(f"{host.name}: cannot be reached as {host.place}: {output or 'ssh failed'}")
    raise ShellError(f"{host.name}: exit code {done.returncode}: {script}: {output or 'no output'}")


def wait_for(
    host: Host,
    script: str,
    within: float,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Return once a script succeeds; *between* is called before each further attempt.

    :raises ShellError: of the last failure, if that takes longer than *within* seconds.
    """
    deadline, pause = time.monotonic() + within, LOOK
    while True:
        try:
            run(host, script, max(1.0, min(TIMEOUT, deadline - time.monotonic())))
        except ShellError:
            if time.monotonic() > deadline:
                raise
            time.sleep(pause)
            pause = min(2 * pause, MOST_LOOK)
            between()
        else:
            return
