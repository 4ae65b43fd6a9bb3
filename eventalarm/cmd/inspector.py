"""``eventalarm-inspector``: publish the fault of a host to every owner that it affects."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from oslo_config import cfg

from eventalarm.cmd.command import Command
from eventalarm.conf import INSPECTOR_GROUP
from eventalarm.guru_report import report_on_signal

DESCRIPTION = """\
Consume the events of the topic event_eval from a separate queue, and publish
for each fault of a host, hypervisor or switch an event for the owner of every
server and port that it affects; likewise when the fault ends. An event about a
server, port or volume that names no project is published again with its owner.

Where resources run, and whose they are, comes from events of Nova, Neutron and
Cinder and from regular snapshots of Nova and Neutron. Any number of inspectors
may run: the same fault gives the same events, which fire an alarm once.

  eventalarm-inspector           run until a signal stops it
  eventalarm-inspector status    print the resource map's size and age
"""

EPILOG = """\
examples:
  eventalarm-inspector
  eventalarm-inspector --config-file /etc/aodh/aodh.conf
  eventalarm-inspector status --json

signals:
  SIGTERM, SIGINT  finish the current batch, then exit
  SIGUSR2          write a report of the threads and of the configuration to
                   stderr

exit codes:
  0  stopped by a signal; status: the resource map is up to date
  1  status: the resource map is stale
  2  could not start, or status failed: the reason is on stderr
"""

COMMAND = Command("eventalarm-inspector", DESCRIPTION, EPILOG)
JSON = cfg.BoolOpt("json", default=False, help="with status: print JSON")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["status"]:
        return _status(arguments[1:])
    conf = COMMAND.configure(arguments, options=[JSON])
    with COMMAND.errors():
        _run(conf)
    return 0


def _run(conf: cfg.ConfigOpts) -> None:
    from eventalarm import systemd  # noqa: PLC0415 - not needed for --help
    from eventalarm.inspector.process import InspectorProcess  # noqa: PLC0415 - slow to import

    report_on_signal(conf, COMMAND.prog)
    notifier = systemd.Notifier.from_environment()
    process = InspectorProcess(conf)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.end())
    try:
        process.start()
        notifier.send(systemd.READY)
        process.wait()
    finally:
        notifier.send(systemd.STOPPING)
        process.stop()


def _status(arguments: Sequence[str]) -> int:
    conf = COMMAND.configure(arguments, options=[JSON])
    from eventalarm.inspector import status  # noqa: PLC0415 - slow to import

    group = conf[INSPECTOR_GROUP]
    with COMMAND.errors(), COMMAND.database(conf) as database:
        found = status.look(database, database.now(), group.stale_after if group.snapshot_interval else None)
    print(status.as_json(found) if conf.json else status.as_text(found))
    return status.STALE if found.stale else status.OK


if __name__ == "__main__":
    sys.exit(main())
