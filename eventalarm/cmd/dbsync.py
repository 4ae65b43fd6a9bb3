"""``eventalarm-dbsync``: create or upgrade eventalarm's tables in Aodh's database."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from oslo_config import cfg

from eventalarm import service
from eventalarm.cmd.command import Command
from eventalarm.storage import schema
from eventalarm.storage.database import Database
from eventalarm.storage.migrations import REVISIONS
from eventalarm.storage.session import SCHEMA_LIMITS
from eventalarm.storage.upgrade import upgrade

CURRENT, NEEDS_UPGRADE, CANNOT = 0, 1, service.FAILED

DESCRIPTION = """\
Create or upgrade eventalarm's tables (eventalarm_*) in Aodh's database.

Run it before the first start of eventalarm-listener and after every upgrade
of the package. It does not change Aodh's tables, except for indexes that it
adds to alarm (eventalarm_ix_alarm_*), with which a listener finds changed
alarms without reading the whole table. It may be repeated, interrupted and
run on several hosts at the same time.

[database] connection is read as in Aodh: from /etc/aodh/aodh.conf, then
/etc/eventalarm/eventalarm.conf, or from the files named with --config-file.
"""

EPILOG = """\
examples:
  eventalarm-dbsync
  eventalarm-dbsync --config-file /etc/aodh/aodh.conf
  eventalarm-dbsync --check && systemctl start eventalarm-listener

exit codes:
  0  the schema is current
  1  with --check: the schema must be upgraded; nothing was changed
  2  failed, the reason is on stderr: no database, or Aodh's schema is missing
     or too old (run aodh-dbsync first)
"""

OPTIONS = [
    cfg.BoolOpt("check", default=False, help="Only report the state of the schema; change nothing."),
]

COMMAND = Command("eventalarm-dbsync", DESCRIPTION, EPILOG)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    conf = COMMAND.configure(argv, options=OPTIONS, version=f" (schema {REVISIONS[0]})")
    with COMMAND.errors():
        database = service.database(conf, SCHEMA_LIMITS)
        try:
            return _check(database) if conf.check else _upgrade(database)
        finally:
            database.dispose()


def _check(database: Database) -> int:
    status = schema.check(database)
    if status.usable:
        print(status.message)
        return CURRENT
    COMMAND.say(status.message)
    return NEEDS_UPGRADE if status.upgradable else CANNOT


def _upgrade(database: Database) -> int:
    before = upgrade(database)
    if before.state is schema.SchemaState.CURRENT:
        print(before.message)
    elif before.found:
        print(f"eventalarm's schema was upgraded from revision {before.found} to {before.wanted}")
    else:
        print(f"eventalarm's tables were created (revision {before.wanted})")
    return CURRENT


if __name__ == "__main__":
    sys.exit(main())
