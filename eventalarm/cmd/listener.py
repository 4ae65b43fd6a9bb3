"""``eventalarm-listener``: evaluate events and call alarm actions."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from eventalarm import service

PROG = "eventalarm-listener"

DESCRIPTION = """\
Take events from the topic event_eval, evaluate them against Aodh's event
alarms and call the alarms' actions.

Run as many as you like, on any hosts: there is no leader, and an event fires
an alarm once whoever gets it. Events are acknowledged only when all that they
caused is committed, so nothing is lost when a listener, the broker or the
database stops at any moment.

It reads database and transport as Aodh does: from /etc/aodh/aodh.conf, then
/etc/eventalarm/eventalarm.conf, or from the files named with --config-file.
Keystone, the Aodh API and aodh-notifier need not be running.
"""

EPILOG = """\
before the first start:
  eventalarm-dbsync                 create our tables in Aodh's database
  add  - eventalarm://  to the publishers in Ceilometer's event_pipeline.yaml

examples:
  eventalarm-listener
  eventalarm-listener --config-file /etc/aodh/aodh.conf
  eventalarm-listener --debug       say what happens to every event

signals:
  SIGTERM  finish the batch in hand and the calls under way, then end

exit codes:
  0  stopped by a signal
  2  could not start: the reason is on stderr
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command until it is told to stop; the exit codes are those of the help text."""
    conf = service.prepare(
        sys.argv[1:] if argv is None else argv,
        prog=PROG,
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    from eventalarm import app  # noqa: PLC0415 - heavy, and --help needs none of it

    with service.errors_on_stderr(PROG):
        app.check_options(conf)
        app.run_listener(conf)
    return 0


if __name__ == "__main__":
    sys.exit(main())
