"""The ingest API for a WSGI server of your choice: ``uwsgi --module eventalarm.cmd.ingest_wsgi``.

The configuration is read as every command of ours reads it; ``EVENTALARM_CONFIG`` may name files instead,
with colons between them.
"""

from __future__ import annotations

from typing import Any, Final

from eventalarm import bus, service
from eventalarm.cmd import serving
from eventalarm.ingest.application import Once
from eventalarm.ingest.application import application as build

PROG: Final = "eventalarm-ingest-api"


def make(argv: list[str]) -> Any:
    """Return the application as the configuration named by *argv* has it.

    :raises eventalarm.exceptions.EventAlarmError: when an option is not as it must be.
    """
    conf = service.prepare(argv, prog=PROG, description="", epilog="")
    return build(conf, bus.get_transport(conf), Once(lambda: service.database(conf)))


application = make(serving.named_files())
