"""The ingest API as a WSGI application, for example ``uwsgi --module eventalarm.cmd.ingest_wsgi``.

The configuration is read as by the command; ``EVENTALARM_CONFIG`` may name other files, separated by colons.
"""

from __future__ import annotations

from typing import Any, Final

from eventalarm import bus, service
from eventalarm.cmd import command
from eventalarm.ingest.application import Once
from eventalarm.ingest.application import application as build

PROG: Final = "eventalarm-ingest-api"


def make(argv: list[str]) -> Any:
    """Return the application for the configuration that *argv* names.

    :raises eventalarm.exceptions.EventAlarmError: when an option is not valid.
    """
    conf = command.Command(PROG).configure(argv)
    return build(conf, bus.get_transport(conf), Once(lambda: service.database(conf)))


application = make(command.named_files())
