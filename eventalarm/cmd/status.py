"""``eventalarm-status``: check every stage on the path of an event."""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from oslo_config import cfg

from eventalarm.cmd.command import Command, add_config_arguments, config_arguments
from eventalarm.exceptions import Retryable

PROG: Final = "eventalarm-status"
UNKNOWN: Final = 3
# Exit codes of OK and WARNING: a warning is no reason to restart a service.
HEALTHY: Final = (0, 1)
# Seconds: for each check, and with --quick for all of them.
TIMEOUT: Final = 10.0
QUICK_TIMEOUT: Final = 1.0

DESCRIPTION = """\
Check every stage on the path of an event: Ceilometer's pipeline, the broker,
the queue, the database, the listeners and the outbox. Each check reports OK,
WARNING, FAILED, UNKNOWN (the check itself failed) or SKIPPED (there was nothing
to check), with a remedy.

With --quick only what a service cannot work without is checked, within about a
second: configuration, broker, database, schema and listeners. It is a probe: the
exit code is 0 (OK, WARNING) or 1.

With --canary a synthetic event is sent through the real topic to a webhook of
this command, by a temporary alarm in a separate project.
"""

EPILOG = """\
examples:
  eventalarm-status check
  eventalarm-status check --canary --json
  eventalarm-status check --quick         as the probe of a container
  eventalarm-status check --event-pipeline /etc/ceilometer/event_pipeline.yaml
  eventalarm-status upgrade check         before restarting services

exit codes, as monitoring plugins use them:
  0  OK
  1  WARNING
  2  FAILED
  3  UNKNOWN: invalid usage, or a check itself failed
With --quick: 0 or 1, as container engines expect; 3 for invalid usage.
"""

COMMAND: Final = Command(PROG, DESCRIPTION, EPILOG)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with 3: a monitoring system must not mistake a usage error for a fault of the cloud."""
        self.print_usage(sys.stderr)
        self.exit(UNKNOWN, f"{self.prog}: error: {message}\n")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(
            f"{text!r} must be a number of seconds greater than 0 and less than 1000000"
        )
    return value


def _address(text: str) -> str:
    host, _, port = text.partition(":")
    if not host or not (port or "0").isdigit() or int(port or 0) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} must have the form HOST[:PORT]")
    return text


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = COMMAND.parser(_Parser)
    COMMAND.add_version(result)
    verbs = result.add_subparsers(dest="verb", required=True, metavar="check|upgrade")
    check = verbs.add_parser(
        "check",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_places(check)
    _add_limits(check)
    check.add_argument("--json", action="store_true", help="print the results as JSON")
    upgrade = verbs.add_parser(
        "upgrade", description="Check whether services can be restarted with this release."
    )
    upgrade.add_argument("what", choices=["check"])
    for verb in (check, upgrade):
        add_config_arguments(verb)
    return result


def _add_places(check: argparse.ArgumentParser) -> None:
    """Add the options that name what is checked."""
    depth = check.add_mutually_exclusive_group()
    depth.add_argument(
        "--canary", action="store_true", help="send a synthetic event and wait for its webhook"
    )
    depth.add_argument(
        "--quick", action="store_true", help="check only what a service cannot work without, within a second"
    )
    check.add_argument(
        "--canary-address",
        type=_address,
        default=None,
        metavar="HOST[:PORT]",
        help="address of this host that listeners can reach (default: detected)",
    )
    for option, metavar, text in (
        ("--event-pipeline", "PATH", "Ceilometer's event_pipeline.yaml"),
        ("--event-definitions", "PATH", "Ceilometer's event_definitions.yaml"),
        ("--ceilometer-conf", "PATH", "Ceilometer's ceilometer.conf"),
        (
            "--rabbitmqctl",
            "COMMAND",
            "command that reads the limits of RabbitMQ, such as 'docker exec rabbitmq rabbitmqctl'",
        ),
    ):
        check.add_argument(option, default="", metavar=metavar, help=text)


def _add_limits(check: argparse.ArgumentParser) -> None:
    """Add the options that are numbers of seconds."""
    check.add_argument(
        "--timeout",
        type=_seconds,
        help="timeout of each check, in seconds (default: 10); with --quick of all together (default: 1)",
    )
    for option, default, text in (
        ("--warn-after", 30, "warn if a due delivery is older, in seconds"),
        ("--fail-after", 300, "fail if a due delivery is older, in seconds"),
        ("--longest-silence", 86400, "warn if there was no event for so many seconds"),
    ):
        check.add_argument(option, type=_seconds, default=float(default), help=f"{text} (default: {default})")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    args = parser().parse_args(sys.argv[1:] if argv is None else argv)
    # SystemExit lets the canary remove its alarm on SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(UNKNOWN))
    if args.verb == "upgrade":
        from eventalarm.status.upgrade import Checks  # noqa: PLC0415

        return int(Checks(_prepare(args)).check())
    return _check(args)


def _prepare(args: argparse.Namespace) -> cfg.ConfigOpts:
    return COMMAND.configure(config_arguments(args))


def _check(args: argparse.Namespace) -> int:
    from eventalarm.status import checks  # noqa: PLC0415 - slow to import, and not needed for --help

    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            conf = _prepare(args)
    except SystemExit:
        problem = errors.getvalue().strip().removeprefix(f"{PROG}: error: ")
        finding = checks.Finding(
            checks.Level.FAILED, problem, "correct the configuration named in the message"
        )
        results = [checks.Result("configuration", finding, 0.0)]
    else:
        results = _look(conf, args)
    print(checks.as_json(results) if args.json else checks.as_text(results))
    code = checks.exit_code(results)
    return int(code not in HEALTHY) if args.quick else code


def _look(conf: cfg.ConfigOpts, args: argparse.Namespace) -> Any:
    from eventalarm.status.assemble import CheckOptions, HealthChecks  # noqa: PLC0415
    from eventalarm.status.checks import Runner  # noqa: PLC0415

    timeout = args.timeout or (QUICK_TIMEOUT if args.quick else TIMEOUT)
    options = CheckOptions(
        event_pipeline=args.event_pipeline,
        event_definitions=args.event_definitions,
        ceilometer_conf=args.ceilometer_conf,
        rabbitmqctl=args.rabbitmqctl,
        canary=args.canary,
        quick=args.quick,
        canary_address=args.canary_address or "",
        timeout=timeout,
        warn_after=args.warn_after,
        fail_after=args.fail_after,
        longest_silence=args.longest_silence,
    )
    health = HealthChecks(conf, options)
    try:
        within = timeout if args.quick else math.inf
        return Runner(health.checks(), timeout, COMMAND.say, within=within).run()
    finally:
        with contextlib.suppress(Retryable):
            health.close()


if __name__ == "__main__":
    sys.exit(main())
