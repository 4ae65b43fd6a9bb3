"""The IFA API for a WSGI server of your choice: ``uwsgi --module eventalarm.cmd.ifa_wsgi``.

The configuration is read as every command of ours reads it; ``EVENTALARM_CONFIG`` may name files instead,
with colons between them.
"""

from __future__ import annotations

from typing import Any, Final

from eventalarm import service
from eventalarm.cmd import serving
from eventalarm.ifa_shim.api.application import application as build
from eventalarm.storage import schema

PROG: Final = "eventalarm-ifa-api"


def make(argv: list[str]) -> Any:
    """Return the application as the configuration named by *argv* has it.

    :raises eventalarm.exceptions.EventAlarmError: when an option or the schema is not as it must be.
    """
    conf = service.prepare(argv, prog=PROG, description="", epilog="")
    database = service.database(conf)
    schema.require_current(database)
    return build(conf, database)


application = make(serving.named_files())
