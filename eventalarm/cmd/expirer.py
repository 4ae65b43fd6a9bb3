"""``eventalarm-expirer``: remove rows that have exceeded their time to live."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from oslo_config import cfg

from eventalarm.cmd.command import Command
from eventalarm.conf import GROUP
from eventalarm.storage.expire import expire
from eventalarm.storage.expire_recorded import expire_recorded

FOREVER = -1

DESCRIPTION = """\
Remove rows from eventalarm's tables (eventalarm_*) that are no longer needed.

It removes what ended more than [eventalarm] history_time_to_live seconds ago:
finished deliveries, transitions whose deliveries are removed and whose
occurrence is cleared, cleared occurrences, and published operational events,
as well as the rows of dead processes. Raised occurrences and pending
deliveries are kept. Aodh's history is removed by aodh-expirer.

It also removes recorded events after [eventalarm] recorded_events_time_to_live
seconds, and the oldest of a project that has more than recorded_events_size.

Run it from cron or a timer, for example daily. Listeners may run at the same
time; it works in small transactions and may be interrupted at any time.
"""

EPILOG = """\
reads:
  [eventalarm] history_time_to_live          seconds; -1 keeps everything but
                                             recorded events forever
  [eventalarm] recorded_events_time_to_live  seconds
  [eventalarm] recorded_events_size          bytes of one project
  [eventalarm] expire_batch_size             rows removed in one transaction
  [database] connection                      as in aodh.conf

examples:
  eventalarm-expirer
  eventalarm-expirer --config-file /etc/aodh/aodh.conf --config-file my.conf

exit codes:
  0  done, or nothing to do
  2  failed, the reason is on stderr; rows already removed stay removed
"""

COMMAND = Command("eventalarm-expirer", DESCRIPTION, EPILOG)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    conf = COMMAND.configure(argv)
    with COMMAND.errors():
        _run(conf)
    return 0


def _run(conf: cfg.ConfigOpts) -> None:
    group, report = conf[GROUP], COMMAND.progress()
    how: dict[str, Any] = {
        "batch_size": group.expire_batch_size,
        "progress": lambda name, rows: report.tick(f"{name}: {rows} removed so far"),
    }
    removed: dict[str, int] = {}
    with COMMAND.database(conf) as database:
        if group.history_time_to_live != FOREVER:
            removed |= expire(database, datetime.timedelta(seconds=group.history_time_to_live), **how)
        keep = datetime.timedelta(seconds=group.recorded_events_time_to_live)
        removed |= expire_recorded(database, keep, group.recorded_events_size, **how)
    if group.history_time_to_live == FOREVER:
        print(f"[{GROUP}] history_time_to_live is -1, which keeps everything but recorded events forever")
    print("removed:")
    print(table(removed))


def table(removed: Mapping[str, int]) -> str:
    """Return the number of removed rows by kind as a text table."""
    width = max(len(name) for name in removed)
    return "\n".join(f"  {name:<{width}}  {count:>10}" for name, count in removed.items())


if __name__ == "__main__":
    sys.exit(main())
