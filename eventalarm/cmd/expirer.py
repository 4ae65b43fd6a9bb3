"""``eventalarm-expirer``: remove what is past its time to live."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Mapping, Sequence

from oslo_config import cfg

from eventalarm import service
from eventalarm.conf import GROUP
from eventalarm.progress import Progress
from eventalarm.storage import schema
from eventalarm.storage.expire import expire

PROG = "eventalarm-expirer"
FOR_EVER = -1

DESCRIPTION = """\
Remove what eventalarm no longer needs from its tables (eventalarm_*).

Removed is what has been over for longer than [eventalarm]
history_time_to_live seconds: finished deliveries, transitions whose
deliveries are gone and whose occurrence is over, and cleared occurrences.
What is raised or waiting to be delivered stays. Rows of dead processes go,
too. Aodh's own history is aodh-expirer's concern.

Run it from cron or a timer, daily for example. It works beside running
listeners, in small transactions, and may be interrupted at any time.
"""

EPILOG = """\
reads:
  [eventalarm] history_time_to_live  seconds; -1 keeps everything forever
  [eventalarm] expire_batch_size     rows removed in one transaction
  [database] connection              as Aodh has it

examples:
  eventalarm-expirer
  eventalarm-expirer --config-file /etc/aodh/aodh.conf --config-file my.conf

exit codes:
  0  done, or nothing to do
  2  could not: the reason is on stderr; what was removed stays removed
"""


def _progress() -> Callable[[str, int], None]:
    progress = Progress(prefix=f"{PROG}: ", timed=False)
    return lambda name, removed: progress.tick(f"{name}: {removed} removed so far")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    conf = service.prepare(
        sys.argv[1:] if argv is None else argv, prog=PROG, description=DESCRIPTION, epilog=EPILOG
    )
    keep = conf[GROUP].history_time_to_live
    if keep == FOR_EVER:
        print(f"nothing removed: [{GROUP}] history_time_to_live is -1, which keeps everything forever")
        return 0
    with service.errors_on_stderr(PROG):
        _run(conf, datetime.timedelta(seconds=keep))
    return 0


def _run(conf: cfg.ConfigOpts, keep: datetime.timedelta) -> None:
    database = service.database(conf)
    try:
        schema.require_current(database)
        removed = expire(database, keep, batch_size=conf[GROUP].expire_batch_size, progress=_progress())
    finally:
        database.dispose()
    print(f"removed what was over more than {str(keep).removesuffix(', 0:00:00')} ago:")
    print(table(removed))


def table(removed: Mapping[str, int]) -> str:
    """Return the rows removed, by kind, as lines for a person."""
    width = max(len(name) for name in removed)
    return "\n".join(f"  {name:<{width}}  {count:>10}" for name, count in removed.items())


if __name__ == "__main__":
    sys.exit(main())
