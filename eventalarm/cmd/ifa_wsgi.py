"""The IFA API as a WSGI application, for example ``uwsgi --module eventalarm.cmd.ifa_wsgi``.

The configuration is read as by the command; ``EVENTALARM_CONFIG`` may name other files, separated by colons.
"""

from __future__ import annotations

from typing import Any, Final

from eventalarm import service
from eventalarm.cmd import command
from eventalarm.ifa_shim.api.application import application as build
from eventalarm.storage import schema

PROG: Final = "eventalarm-ifa-api"


def make(argv: list[str]) -> Any:
    """Return the application for the configuration that *argv* names.

    :raises eventalarm.exceptions.EventAlarmError: when an option or the schema is not valid.
    """
    conf = command.Command(PROG).configure(argv)
    database = service.database(conf)
    schema.require_current(database)
    return build(conf, database)


application = make(command.named_files())
