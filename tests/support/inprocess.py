"""Commands run in the test's own process: a call then costs milliseconds, not seconds of imports."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from unittest import mock


@contextlib.contextmanager
def _kept_signal() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(main: Callable[[Sequence[str]], int], *words: str) -> subprocess.CompletedProcess[str]:
    """Call the *main* of a command as its console script would, without a terminal; return its output."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_kept_signal())
        nothing = stack.enter_context(pathlib.Path(os.devnull).open())
        stack.enter_context(mock.patch.object(sys, "stdin", nothing))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        try:
            code = main(words)
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else 1
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
