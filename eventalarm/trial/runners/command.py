"""The runner ``command``: Rally, or any other program, while the cloud is disrupted."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final

from eventalarm.exceptions import InvalidOption
from eventalarm.trial.fields import Fields
from eventalarm.trial.plugins import Context, Options

# Seconds between SIGTERM and SIGKILL.
GRACE: Final = 10.0
PAUSE: Final = 0.2


class CommandRunner:
    """Runs ``command``, with ``repeat`` until the trial is over; its output goes to a file.

    With ``must_succeed`` an exit code other than 0 makes the trial fail, unless the trial ended the program.
    """

    def __init__(self, context: Context, options: Options) -> None:
        fields = Fields(options, context.name)
        self._words = list(fields.texts("command"))
        self._repeats = fields.flag("repeat")
        self._must_succeed = fields.flag("must_succeed", True)
        environment = fields.mapping("environment", {})
        self._environment = {name: str(value) for name, value in environment.items()}
        fields.done()
        if not self._words:
            raise fields.wrong("command", "is empty", "name a program and its arguments")
        file = "".join(one if one.isalnum() else "-" for one in context.name)
        self._log: pathlib.Path = context.directory / f"{file}.log"
        self._name = context.name
        self._over = threading.Event()
        self._program: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._seconds: list[float] = []
        self._failed: list[str] = []

    def plan(self) -> Sequence[str]:
        """Return the command."""
        again = "repeatedly" if self._repeats else "once"
        return [f"on this machine, {again}: {' '.join(self._words)}"]

    def start(self) -> None:
        """Start the program.

        :raises InvalidOption: if it does not exist.
        """
        self._start()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def _start(self) -> None:
        try:
            with self._log.open("ab") as output:
                self._program = subprocess.Popen(  # noqa: S603 - what the scenario names
                    self._words,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=os.environ | self._environment,
                    start_new_session=True,
                )
        except OSError as exc:
            raise InvalidOption("command", f"{exc.filename}: {exc.strerror}", "correct it") from exc

    def _run(self) -> None:
        while (program := self._program) is not None:
            began = time.monotonic()
            code = program.wait()
            if self._over.is_set():
                return
            self._seconds.append(time.monotonic() - began)
            if code:
                self._failed.append(f"run {len(self._seconds)} ended with {code}; see {self._log.name}")
            if not self._repeats or self._over.wait(PAUSE):
                return
            self._start()

    def stop(self) -> None:
        """End the program and its children, by SIGTERM and then by SIGKILL."""
        self._over.set()
        program, self._program = self._program, None
        if program is None:
            return
        if program.poll() is None:
            self._signal(program, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(GRACE)
        self._signal(program, signal.SIGKILL)
        program.wait(GRACE)
        if self._thread is not None:
            self._thread.join(GRACE)

    def close(self) -> None:
        """Remove nothing: the output is kept."""

    @staticmethod
    def _signal(program: subprocess.Popen[bytes], number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, number)

    def results(self) -> Mapping[str, float]:
        """Return how often it ran, and for how long."""
        longest = max(self._seconds, default=0.0)
        return {
            "runs": float(len(self._seconds)),
            "failed runs": float(len(self._failed)),
            "seconds of the longest run": round(longest, 3),
        }

    def problems(self) -> Sequence[str]:
        """Return the runs that failed."""
        return self._failed if self._must_succeed else ()
