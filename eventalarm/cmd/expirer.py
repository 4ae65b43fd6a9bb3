"""``eventalarm-expirer``: remove rows that have exceeded their time to live."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping, Sequence

from oslo_config import cfg

from eventalarm.cmd.command import Command
from eventalarm.conf import GROUP
from eventalarm.storage.expire import expire

FOREVER = -1

DESCRIPTION = """\
Remove rows from eventalarm's tables (eventalarm_*) that are no longer needed.

It removes what ended more than [eventalarm] history_time_to_live seconds ago:
finished deliveries, transitions whose deliveries are removed and whose
occurrence is cleared, and cleared occurrences, as well as the rows of dead
processes. Raised occurrences and pending deliveries are kept. Aodh's history
is removed by aodh-expirer.

Run it from cron or a timer, for example daily. Listeners may run at the same
time; it works in small transactions and may be interrupted at any time.
"""

EPILOG = """\
reads:
  [eventalarm] history_time_to_live  seconds; -1 keeps everything forever
  [eventalarm] expire_batch_size     rows removed in one transaction
  [database] connection              as in aodh.conf

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
    keep = conf[GROUP].history_time_to_live
    if keep == FOREVER:
        print(f"nothing removed: [{GROUP}] history_time_to_live is -1, which keeps everything forever")
        return 0
    with COMMAND.errors():
        _run(conf, datetime.timedelta(seconds=keep))
    return 0


def _run(conf: cfg.ConfigOpts, keep: datetime.timedelta) -> None:
    report = COMMAND.progress()
    with COMMAND.database(conf) as database:
        removed = expire(
            database,
            keep,
            batch_size=conf[GROUP].expire_batch_size,
            progress=lambda name, rows: report.tick(f"{name}: {rows} removed so far"),
        )
    print(f"removed what ended more than {str(keep).removesuffix(', 0:00:00')} ago:")
    print(table(removed))


def table(removed: Mapping[str, int]) -> str:
    """Return the number of removed rows by kind as a text table."""
    width = max(len(name) for name in removed)
    return "\n".join(f"  {name:<{width}}  {count:>10}" for name, count in removed.items())


if __name__ == "__main__":
    sys.exit(main())
