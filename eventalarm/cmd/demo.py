"""``eventalarm-demo``: see a real Nova fault become a webhook, on this machine, in one go."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence

# ./demo, which makes an environment and runs us there, says so, that we name what the person typed.
PROG = os.environ.get("EVENTALARM_DEMO_COMMAND", "eventalarm-demo")
FAILED, INTERRUPTED = 1, 130

DESCRIPTION = """\
See a real Nova fault become a webhook on this machine: no cloud, no broker.

Starts what eventalarm-standalone runs and a webhook consumer, creates an
event alarm with aodhclient, lets Nova say that a server failed (a recording
of a real notification, with a new id and time) and that it is active again,
and shows what the consumer, the alarm and its history say of it, and how long
each stage took. Every step is checked.
"""

EPILOG = f"""\
examples:
  {PROG}
  {PROG} --keep    leave it running to try things out; Ctrl-C ends it
  {PROG} --json    the figures for a program; progress goes to stderr

exit codes:
  0  all of it happened
  1  a step failed: which and why is on stderr
  2  the command line is wrong
"""


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    reader = argparse.ArgumentParser(
        prog=PROG,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    reader.add_argument(
        "--data-dir", metavar="DIR", help="where to keep the data (default: a temporary directory)"
    )
    reader.add_argument(
        "--wait", metavar="SECONDS", type=float, default=20.0, help="how long to wait for each webhook (20)"
    )
    reader.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C")
    reader.add_argument("--json", action="store_true", help="print the figures as JSON instead of a picture")
    return reader


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    chosen = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from eventalarm.exceptions import EventAlarmError  # noqa: PLC0415 - --help needs none of it

    try:
        return _run(chosen)
    except EventAlarmError as exc:
        sys.stderr.write(f"{PROG}: error: {exc}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write(f"{PROG}: interrupted\n")
        return INTERRUPTED


def _run(chosen: argparse.Namespace) -> int:
    from eventalarm.standalone import lazy  # noqa: PLC0415

    try:
        from rich.console import Console  # noqa: PLC0415

        from eventalarm.standalone.console import Screen  # noqa: PLC0415
        from eventalarm.standalone.demo import Demo  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        raise lazy.missing(PROG, exc) from exc

    screen = Screen(Console(stderr=chosen.json, highlight=False, emoji=False))
    kept = threading.Event()

    def told(hook: dict[str, object]) -> None:
        if kept.is_set():
            screen.text(f"webhook: {hook['alarm_name']}: {hook['previous']} -> {hook['current']}")

    demo = Demo(screen, prog=PROG, patience=chosen.wait, told=told)
    good = False
    try:
        screen.title("A real Nova fault becomes a webhook")
        result = demo.run(chosen.data_dir)
        good = True
        if chosen.json:
            print(result.as_json(), flush=True)
        if chosen.keep:
            screen.text(f"\nStill running on {demo.endpoint}; Ctrl-C ends it.\n\n{demo.next_steps()}")
            kept.set()
            _wait_for_interrupt()
        elif not chosen.json:
            screen.text(
                f"\nNext: {PROG} --keep leaves it running and says what to type; "
                "README.rst says how to add it to a cloud."
            )
    finally:
        demo.stop(keep_data=not good)
    return 0


def _wait_for_interrupt() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    sys.exit(main())
