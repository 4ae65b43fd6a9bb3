"""``eventalarm-listener``: evaluate events and call alarm actions."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from eventalarm.cmd.command import Command
from eventalarm.guru_report import report_on_signal

DESCRIPTION = """\
Consume events from the topic event_eval, evaluate Aodh's event alarms and
notification alarms on them, and call the actions of the alarms.

Any number of listeners may run, on any hosts: all are equal, and an event
fires an alarm once, whichever listener receives it. An event is acknowledged
only after everything that it caused has been committed, so nothing is lost if
a listener, the broker or the database stops at any moment.

The database and the transport are configured as in Aodh: in
/etc/aodh/aodh.conf, then /etc/eventalarm/eventalarm.conf, or in the files
named with --config-file. Keystone, the Aodh API and aodh-notifier need not be
running.
"""

EPILOG = """\
before the first start:
  eventalarm-dbsync                 create eventalarm's tables in Aodh's database
  add  - eventalarm://  to the publishers in Ceilometer's event_pipeline.yaml
  eventalarm-status check           verify the whole path of an event

examples:
  eventalarm-listener
  eventalarm-listener --config-file /etc/aodh/aodh.conf
  eventalarm-listener --debug       log what happens to each event

signals:
  SIGTERM  finish the current batch and the calls in progress, then exit
  SIGUSR2  write a report of the threads and of the configuration to stderr;
           send it to the process in question

exit codes:
  0  stopped by a signal
  2  could not start: the reason is on stderr
"""

COMMAND = Command("eventalarm-listener", DESCRIPTION, EPILOG)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command until a signal stops it; the exit codes are those of the help text."""
    conf = COMMAND.configure(argv)
    from eventalarm.app import services  # noqa: PLC0415 - slow to import, and not needed for --help

    report_on_signal(conf, COMMAND.prog)

    with COMMAND.errors():
        services.check_options(conf)
        services.run_listener(conf)
    return 0


if __name__ == "__main__":
    sys.exit(main())
