"""The IFA API as a WSGI application, for example ``uwsgi --module eventalarm.cmd.ifa_wsgi``.

The configuration is read as by the command; ``EVENTALARM_CONFIG`` may name other files and
directories, separated by colons.
"""

from __future__ import annotations

from typing import Any

from eventalarm import service
from eventalarm.cmd.command import wsgi_application
from eventalarm.ifa_shim.api import application as api
from eventalarm.storage import schema


def build(conf: Any) -> Any:
    """Return the application for a configuration.

    :raises eventalarm.exceptions.EventAlarmError: when an option or the schema is not valid.
    """
    database = service.database(conf)
    schema.require_current(database)
    return api.application(conf, database)


application = wsgi_application("eventalarm-ifa-api", build)
