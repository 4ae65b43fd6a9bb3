"""``eventalarm-status``: is every hop of an event's way in order, and what to do if not."""

from __future__ import annotations

import argparse
import contextlib
import io
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from oslo_config import cfg

from eventalarm import service
from eventalarm.exceptions import Retryable

PROG: Final = "eventalarm-status"
UNKNOWN: Final = 3

DESCRIPTION = """\
Look at every hop of an event's way: Ceilometer's pipeline, the broker, the
queue, the database, the listeners, the outbox. Each is OK, WARNING, FAILED,
UNKNOWN (the check broke) or SKIPPED (nothing could be asked), with a remedy.

With --canary a synthetic event goes through the real topic to a webhook of
this command, with an alarm in a project of its own that is removed again.
"""

EPILOG = """\
examples:
  eventalarm-status check
  eventalarm-status check --canary --json
  eventalarm-status check --event-pipeline /etc/ceilometer/event_pipeline.yaml
  eventalarm-status upgrade check         before services are restarted

exit codes, as monitoring systems want them:
  0  OK
  1  WARNING
  2  FAILED
  3  UNKNOWN: bad usage, or a check itself broke
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with 3: a monitoring system must not take a typing error for a broken cloud."""
        self.print_usage(sys.stderr)
        self.exit(UNKNOWN, f"{self.prog}: error: {message}\n")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} must be seconds, more than 0 and less than 1000000")
    return value


def _address(text: str) -> str:
    host, _, port = text.partition(":")
    if not host or not (port or "0").isdigit() or int(port or 0) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no HOST[:PORT]")
    return text


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    result = _Parser(prog=PROG, description=DESCRIPTION, epilog=EPILOG, formatter_class=raw)
    result.add_argument("--version", action="version", version=f"{PROG} {service.package_version()}")
    verbs = result.add_subparsers(dest="verb", required=True, metavar="check|upgrade")
    check = verbs.add_parser("check", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw)
    check.add_argument("--canary", action="store_true", help="send a synthetic event, await its webhook")
    check.add_argument(
        "--canary-address",
        type=_address,
        default=None,
        metavar="HOST[:PORT]",
        help="address of this host that listeners reach (found by itself: loopback if all of them are here)",
    )
    check.add_argument("--event-pipeline", default="", metavar="PATH", help="Ceilometer's pipeline file")
    check.add_argument("--event-definitions", default="", metavar="PATH", help="Ceilometer's definitions")
    check.add_argument("--ceilometer-conf", default="", metavar="PATH", help="Ceilometer's ceilometer.conf")
    check.add_argument(
        "--rabbitmqctl",
        default="",
        metavar="COMMAND",
        help="how to ask RabbitMQ for limits, such as 'docker exec rabbitmq rabbitmqctl'",
    )
    check.add_argument("--timeout", type=_seconds, default=10.0, help="seconds for each check (10)")
    check.add_argument("--warn-after", type=_seconds, default=30.0, help="age of a due delivery (30)")
    check.add_argument("--fail-after", type=_seconds, default=300.0, help="age of a due delivery (300)")
    check.add_argument("--longest-silence", type=_seconds, default=86400.0, help="without any event (86400)")
    check.add_argument("--json", action="store_true", help="for programs")
    upgrade = verbs.add_parser("upgrade", description="Checks before services are restarted.")
    upgrade.add_argument("what", choices=["check"])
    for verb in (check, upgrade):
        for kind in ("file", "dir"):
            verb.add_argument(f"--config-{kind}", action="append", default=[], metavar="PATH", help="as Aodh")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    args = parser().parse_args(sys.argv[1:] if argv is None else argv)
    # So that the canary removes its alarm when the command is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(UNKNOWN))
    if args.verb == "upgrade":
        from eventalarm.status.upgrade import Checks  # noqa: PLC0415

        return int(Checks(_prepare(args)).check())
    return _check(args)


def _prepare(args: argparse.Namespace) -> cfg.ConfigOpts:
    arguments = [f"--config-file={path}" for path in args.config_file]
    arguments += [f"--config-dir={path}" for path in args.config_dir]
    return service.prepare(arguments, prog=PROG, description=DESCRIPTION, epilog=EPILOG)


def _check(args: argparse.Namespace) -> int:
    from eventalarm.status import outcome, render  # noqa: PLC0415 - heavy, and --help needs none of it

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            conf = _prepare(args)
    except SystemExit:
        problem = said.getvalue().strip().removeprefix(f"{PROG}: error: ")
        finding = outcome.Finding(outcome.Level.FAILED, problem, "correct the configuration named here")
        results = [outcome.Result("configuration", finding, 0.0)]
    else:
        results = _look(conf, args)
    print(render.as_json(results) if args.json else render.as_text(results))
    return outcome.exit_code(results)


def _look(conf: cfg.ConfigOpts, args: argparse.Namespace) -> Any:
    from eventalarm.status.assemble import Checkup, Wishes  # noqa: PLC0415
    from eventalarm.status.runner import Runner  # noqa: PLC0415

    wishes = Wishes(
        event_pipeline=args.event_pipeline,
        event_definitions=args.event_definitions,
        ceilometer_conf=args.ceilometer_conf,
        rabbitmqctl=args.rabbitmqctl,
        canary=args.canary,
        canary_address=args.canary_address or "",
        timeout=args.timeout,
        warn_after=args.warn_after,
        fail_after=args.fail_after,
        longest_silence=args.longest_silence,
    )
    checkup = Checkup(conf, wishes)
    try:
        return Runner(checkup.checks(), args.timeout, _say).run()
    finally:
        with contextlib.suppress(Retryable):
            checkup.close()


def _say(text: str) -> None:
    sys.stderr.write(f"{PROG}: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
