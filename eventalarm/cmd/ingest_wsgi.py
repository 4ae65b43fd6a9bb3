"""The ingest API for a WSGI server of your choice: ``uwsgi --module eventalarm.cmd.ingest_wsgi``.

The configuration is read as every command of ours reads it; ``EVENTALARM_CONFIG`` may name files instead,
with colons between them.
"""

from __future__ import annotations

import os
from typing import Any, Final

from eventalarm import bus, service
from eventalarm.ingest.application import Once
from eventalarm.ingest.application import application as build

PROG: Final = "eventalarm-ingest-api"
VARIABLE: Final = "EVENTALARM_CONFIG"


def make(files: list[str]) -> Any:
    """Return the application as the configuration *files* have it; none: the usual ones.

    :raises eventalarm.exceptions.EventAlarmError: when an option is not as it must be.
    """
    argv = [word for name in files for word in ("--config-file", name)]
    conf = service.prepare(argv, prog=PROG, description="", epilog="")
    return build(conf, bus.get_transport(conf), Once(lambda: service.database(conf)))


application = make([name for name in os.environ.get(VARIABLE, "").split(":") if name])
