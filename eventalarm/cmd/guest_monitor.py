"""``eventalarm-guest-monitor``: report the guests of a compute node that fail."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from oslo_config import cfg

from eventalarm.cmd.command import Command
from eventalarm.guru_report import report_on_signal

DESCRIPTION = """\
Watch the guests of this compute node: challenge the QEMU guest agent of each
guest that opted in, take the events of libvirt (crash, watchdog, disk error),
and report changes to the ingest API as events of the project that owns the
guest. They are kept in a directory until the API has accepted them. The monitor
needs neither the database nor the broker.

A guest opts in by its flavor:

  openstack flavor set FLAVOR --property eventalarm:guest_heartbeat=30
  openstack image set IMAGE --property hw_qemu_guest_agent=yes

The first is the number of seconds within which its silence is reported; the
second gives the guest a channel for its agent. Nova before 32.0.0 (2025.2) does
not tell libvirt the extra specs: name the flavors in the configuration instead.

  eventalarm-guest-monitor           run until a signal stops it
  eventalarm-guest-monitor list      print the guests and their state
  eventalarm-guest-monitor --once    challenge each guest now, report nothing
"""

EPILOG = """\
examples:
  eventalarm-guest-monitor --config-file /etc/eventalarm/eventalarm.conf
  eventalarm-guest-monitor --once
  eventalarm-guest-monitor list --json

signals:
  SIGTERM, SIGINT  try to send what waits, then exit
  SIGUSR2          write a report of the threads and of the configuration to
                   stderr

exit codes:
  0  stopped by a signal; list, --once: no guest is at fault
  1  list, --once: a guest is at fault
  2  could not start, or list or --once failed: the reason is on stderr
"""

COMMAND = Command("eventalarm-guest-monitor", DESCRIPTION, EPILOG)
OPTIONS = (
    cfg.BoolOpt("once", default=False, help="challenge each guest once, print a table and exit"),
    cfg.BoolOpt("json", default=False, help="with list and --once: print JSON"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    listed = arguments[:1] == ["list"]
    conf = COMMAND.configure(arguments[1:] if listed else arguments, options=OPTIONS)
    with COMMAND.errors():
        if listed or conf.once:
            return _show(conf, stored=listed)
        _run(conf)
    return 0


def _run(conf: cfg.ConfigOpts) -> None:
    from eventalarm import systemd  # noqa: PLC0415 - not needed for --help
    from eventalarm.guest import process  # noqa: PLC0415

    report_on_signal(conf, COMMAND.prog)
    notifier = systemd.Notifier.from_environment()

    def progress(ready: bool) -> None:
        notifier.send(systemd.READY if ready else systemd.PROGRESS)

    try:
        process.run(conf, progress)
    finally:
        notifier.send(systemd.STOPPING)


def _show(conf: cfg.ConfigOpts, *, stored: bool) -> int:
    from eventalarm.guest import listing, process  # noqa: PLC0415 - not needed for --help

    rows = process.stored(conf) if stored else process.once(conf)
    print(listing.as_json(rows) if conf.json else listing.as_text(rows))
    return 1 if listing.is_failed(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
