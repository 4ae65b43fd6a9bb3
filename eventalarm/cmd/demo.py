"""``eventalarm-demo``: show how a real Nova fault becomes a webhook, on this machine."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence

from eventalarm.cmd.command import Command

# ./demo, which creates an environment and runs this module in it, sets its own name here for messages.
PROG = os.environ.get("EVENTALARM_DEMO_COMMAND", "eventalarm-demo")
FAILED, INTERRUPTED = 1, 130

DESCRIPTION = """\
Show how a real Nova fault becomes a webhook, without a cloud or a broker.

Starts the services of eventalarm-standalone and a webhook consumer, creates
an event alarm with aodhclient, replays a recorded notification of Nova about
a failed server and one about its recovery, and shows what the consumer
received, the alarm, its history, and how long each stage took. Every stage is
checked.
"""

EPILOG = f"""\
examples:
  {PROG}
  {PROG} --keep    keep it running for experiments; Ctrl-C stops it
  {PROG} --json    print the figures as JSON; progress goes to stderr

exit codes:
  0  every stage succeeded
  1  a stage failed; which and why is on stderr
  2  the command line is invalid
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    reader = Command(PROG, DESCRIPTION, EPILOG).parser()
    reader.add_argument(
        "--data-dir", metavar="DIR", help="directory for the data (default: a temporary directory)"
    )
    reader.add_argument(
        "--wait",
        metavar="SECONDS",
        type=float,
        default=20.0,
        help="seconds to wait for each webhook (default: 20)",
    )
    reader.add_argument("--keep", action="store_true", help="keep running until Ctrl-C")
    reader.add_argument("--json", action="store_true", help="print the figures as JSON instead of a timeline")
    return reader


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    chosen = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from eventalarm.exceptions import EventAlarmError  # noqa: PLC0415 - not needed for --help

    try:
        return _run(chosen)
    except EventAlarmError as exc:
        sys.stderr.write(f"{PROG}: error: {exc}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write(f"{PROG}: interrupted\n")
        return INTERRUPTED


def _run(chosen: argparse.Namespace) -> int:
    from eventalarm.standalone import launch  # noqa: PLC0415

    try:
        from rich.console import Console  # noqa: PLC0415

        from eventalarm.standalone.console import Screen  # noqa: PLC0415
        from eventalarm.standalone.demo import Demo  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        raise launch.missing(PROG, exc) from exc

    screen = Screen(Console(stderr=chosen.json, highlight=False, emoji=False))
    kept = threading.Event()

    def report_webhook(hook: dict[str, object]) -> None:
        if kept.is_set():
            screen.text(f"webhook: {hook['alarm_name']}: {hook['previous']} -> {hook['current']}")

    demo = Demo(screen, prog=PROG, patience=chosen.wait, on_webhook=report_webhook)
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
                f"\nNext: {PROG} --keep keeps it running and prints commands to try; "
                "README.rst explains how to add it to a cloud."
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
