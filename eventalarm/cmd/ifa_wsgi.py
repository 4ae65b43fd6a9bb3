"""The IFA API for a WSGI server of your choice: ``uwsgi --module eventalarm.cmd.ifa_wsgi``.

The configuration is read as every command of ours reads it; ``EVENTALARM_CONFIG`` may name files instead,
with colons between them.
"""

from __future__ import annotations

import os
from typing import Any, Final

from eventalarm import service
from eventalarm.ifa_shim.api.application import application as build
from eventalarm.storage import schema

PROG: Final = "eventalarm-ifa-api"
VARIABLE: Final = "EVENTALARM_CONFIG"


def make(argv: list[str]) -> Any:
    """Return the application as the configuration named by *argv* has it.

    :raises eventalarm.exceptions.EventAlarmError: when an option or the schema is not as it must be.
    """
    conf = service.prepare(argv, prog=PROG, description="", epilog="")
    database = service.database(conf)
    schema.require_current(database)
    return build(conf, database)


def _named_files() -> list[str]:
    names = [name for name in os.environ.get(VARIABLE, "").split(":") if name]
    return [word for name in names for word in ("--config-file", name)]


application = make(_named_files())
